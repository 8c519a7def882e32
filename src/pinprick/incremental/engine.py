"""Scores of edited images from those of their base images."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pinprick.edits import Edits, Images
from pinprick.errors import InputError
from pinprick.incremental.graph import Graph, UntraceableError, trace
from pinprick.incremental.plan import Plan, longest, make_plan
from pinprick.incremental.route import Route, as_images
from pinprick.incremental.tail import BATCH, BLOCK, rest


class Incremental:
    """A network that scores edited images from what it computed for their base images.

    Parameters
    ----------
    module : from images ``(N, C, H, W)`` float in [0, 1] to scores ``(N, K)``, float32, in evaluation mode. It is
        copied, where it can be. One that cannot be taken apart is run as it is: :attr:`why` says why.
    shape : ``(C, H, W)`` of the images.
    memory : bytes for the base images' values, shared evenly by the ways through the network that were taken so far;
        the images asked for longest ago are computed again when needed. One image is kept in any case.
    """

    def __init__(self, module: nn.Module, shape: tuple[int, int, int], *, memory: int = 1 << 30) -> None:
        if not isinstance(module, nn.Module):
            raise InputError("module", f"a {type(module).__name__}, not a torch module", "Give a torch.nn.Module.")
        first = next(module.parameters(), None)
        self.device = torch.device("cpu") if first is None else first.device
        self.shape, self.memory = (int(shape[0]), int(shape[1]), int(shape[2])), memory
        self.why = ""
        self.graph: Graph | None = None
        try:
            self.module = copy.deepcopy(module)
        except Exception:
            # Of what cannot be copied nothing is taken apart, and so nothing is changed either.
            self.module = module
        try:
            self.graph = trace(module, self.shape)
        except UntraceableError as error:
            self.why = str(error)
        self._fast: nn.Module = self.module if self.graph is None else rest(self.graph, ())[0]
        self._images: dict[int, Images] = {}
        self._next = 0
        self._plans: dict[int, Plan] = {}
        self._routes: dict[tuple[str, ...], Route] = {}

    def plan(self, pixels: int) -> Plan:
        """What is carried on windows for candidates of ``pixels`` changed pixels."""
        pixels = max(1, pixels)
        if pixels not in self._plans:
            if self.graph is None:
                self._plans[pixels] = Plan(pixels, (), 1.0, (0.0, 0.0, 0.0), self.why)
            else:
                self._plans[pixels] = make_plan(self.graph, pixels)
        return self._plans[pixels]

    def use(self, plan: Plan) -> None:
        """Carry for ``plan.pixels`` what ``plan`` says, rather than what would be chosen.

        Raises
        ------
        InputError : it names nodes that this network does not have at its beginning, or that windows cannot cross.
        """
        known = () if self.graph is None else longest(self.graph)
        if plan.windows != known[: len(plan.windows)]:
            last = known[-1] if known else "none, the network could not be taken apart"
            raise InputError("plan", "not this network's", f"Its windows may go up to {last}.")
        self._plans[plan.pixels] = plan

    def base(self, images: Images) -> NDArray[np.int64]:
        """Handles ``(B,)`` of base images ``(B, C, H, W)`` uint8.

        Raises
        ------
        InputError : no array of 8-bit images of the engine's shape.
        """
        if not isinstance(images, np.ndarray):
            raise InputError("base images", f"a {type(images).__name__}", "Give a uint8 array of shape (B, C, H, W).")
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != self.shape:
            wrong = f"{images.dtype} {images.shape}"
            raise InputError("base images", wrong, f"Give uint8 of shape (B, {', '.join(map(str, self.shape))}).")
        handles = np.arange(self._next, self._next + len(images))
        self._next += len(images)
        for handle, image in zip(handles.tolist(), images, strict=True):
            self._images[handle] = image.copy()
        return handles

    def forget(self, handles: Sequence[int] | NDArray[np.integer]) -> None:
        """Let go of base images; their handles are no longer of use."""
        for handle in np.atleast_1d(handles).tolist():
            self._known(handle)
            del self._images[handle]
            for route in self._routes.values():
                route.kept.pop(handle, None)

    def _known(self, handle: int) -> None:
        if handle not in self._images:
            raise InputError("base image", f"there is no handle {handle}", "Take those that base() returned.")

    def _checked(self, handles: Sequence[int] | NDArray[np.integer], edits: Edits) -> tuple[NDArray[np.int64], Images]:
        if not isinstance(edits, Edits):
            wrong = f"a {type(edits).__name__}"
            raise InputError(
                "edits", wrong, "Give pinprick.Edits(rows (N, d), columns (N, d), colours (N, d, C) uint8)."
            )
        found = np.asarray(handles)
        if found.size and found.dtype.kind not in "iu":
            raise InputError("base images", f"handles of type {found.dtype}", "Take those that base() returned.")
        found = found.astype(np.int64)
        if found.shape != (len(edits),):
            wrong = f"{found.shape} handles for {len(edits)} candidates"
            raise InputError("base images", wrong, "Give one handle a candidate.")
        for handle in np.unique(found).tolist():
            self._known(handle)
        channels, height, width = self.shape
        if edits.colours.shape[2] != channels:
            wrong = f"colours of {edits.colours.shape[2]} channels"
            raise InputError("edits", wrong, f"The images have {channels}.")
        live = slice(None) if edits.count is None else np.arange(edits.pixels) < edits.count[:, None]
        for name, values, size in (("rows", edits.rows, height), ("columns", edits.columns, width)):
            chosen = values[live]
            if chosen.size and (chosen.min() < 0 or chosen.max() >= size):
                raise InputError("edits", f"{name} from {chosen.min()} to {chosen.max()}", f"Give 0 to {size - 1}.")
        bases = np.empty((len(found), *self.shape), np.uint8)
        for place, handle in enumerate(found.tolist()):
            bases[place] = self._images[handle]
        return found, bases

    @torch.inference_mode()
    def dense(self, handles: Sequence[int] | NDArray[np.integer], edits: Edits) -> torch.Tensor:
        """``(N, K)`` scores by whole images, in passes of a fixed number of rows."""
        found, bases = self._checked(handles, edits)
        return self._dense(bases, edits) if len(found) else self._nothing()

    def _nothing(self) -> torch.Tensor:
        """The scores ``(0, K)`` of no candidate."""
        return self._dense(np.zeros((1, *self.shape), np.uint8), Edits.none(self.shape[0]))[:0]

    def _dense(self, bases: Images, edits: Edits) -> torch.Tensor:
        made = []
        for start in range(0, len(edits), BATCH):
            part = slice(start, start + BATCH)
            images = edits.take(part).apply(bases[part])
            full = np.concatenate([images, np.repeat(images[:1], BATCH - len(images), axis=0)])
            given = as_images(full, self.device)
            # What is run as it is may look at the layout.
            given = given.contiguous() if self.graph is None else given
            made.append(self._fast(given)[: len(images)])
        return torch.cat(made)

    @torch.inference_mode()
    def scores(self, handles: Sequence[int] | NDArray[np.integer], edits: Edits) -> torch.Tensor:
        """``(N, K)`` scores of candidates: ``handles (N,)`` of their base images, and their edits.

        A candidate's scores follow from its own base image and pixels, to the bit: not from the other candidates.

        Raises
        ------
        InputError : a handle that is none, not one a candidate, pixels outside of the image, other channels.
        """
        found, bases = self._checked(handles, edits)
        if not len(edits):
            return self._nothing()
        plain = edits.canonical(bases)
        assert plain.count is not None
        plans = {int(count): self.plan(int(count)) for count in np.unique(plain.count)}
        answer: torch.Tensor | None = None
        for windows in dict.fromkeys(plan.windows for plan in plans.values()):
            counts = [count for count, plan in plans.items() if plan.windows == windows]
            which = np.flatnonzero(np.isin(plain.count, counts))
            for part in self._parts(which, found, plain, windows):
                if windows:
                    made = self._incremental(windows, found[part], bases[part], plain.take(part))
                else:
                    made = self._dense(bases[part], plain.take(part))
                if answer is None:
                    answer = made.new_empty((len(found), *made.shape[1:]))
                answer[torch.from_numpy(part).to(made.device)] = made
        assert answer is not None
        return answer

    def _parts(
        self, which: NDArray[np.intp], handles: NDArray[np.int64], edits: Edits, windows: tuple[str, ...]
    ) -> list[NDArray[np.intp]]:
        """Candidates for one pass each: of few base images, and those of one pixel apart from the others."""
        assert edits.count is not None
        which = which[np.lexsort((handles[which], edits.count[which] > 1))]
        if not windows:
            return [which[start : start + BATCH] for start in range(0, len(which), BATCH)]
        most = self._most(self._route(windows))
        parts: list[NDArray[np.intp]] = []
        start = 0
        while start < len(which):
            part = which[start : start + BLOCK]
            kinds = edits.count[part] > 1
            bases = np.cumsum(np.concatenate([[0], np.diff(handles[part]) != 0])) + 1
            fits = (kinds == kinds[0]) & (bases <= most)
            part = part[: len(part) if fits.all() else int(fits.argmin())]
            parts.append(part)
            start += len(part)
        return parts

    def _route(self, windows: tuple[str, ...]) -> Route:
        if windows not in self._routes:
            assert self.graph is not None
            self._routes[windows] = Route(self.graph, windows, self.device)
            for name, other in self._routes.items():
                if other.slots > self._most(other):
                    # Tables do not shrink; it begins again.
                    self._routes[name] = Route(self.graph, name, self.device)
        return self._routes[windows]

    def _most(self, route: Route) -> int:
        """Base images whose values fit into its share of the memory."""
        return max(1, self.memory // len(self._routes) // max(1, route.bytes_per_base))

    def kept_bytes(self) -> int:
        """What there is room for now, of all base images, without the rows that work is done in."""
        return sum(route.slots * route.bytes_per_base for route in self._routes.values())

    def _incremental(
        self, windows: tuple[str, ...], handles: NDArray[np.int64], bases: Images, edits: Edits
    ) -> torch.Tensor:
        route = self._route(windows)
        slots = route.hold(list(dict.fromkeys(handles.tolist())), self._images, self._most(route))
        return route.run(np.array([slots[one] for one in handles.tolist()], np.int32), bases, edits)
