"""Which way candidates are scored in a run: on windows or as whole images, chosen once for each number of pixels."""

from __future__ import annotations

import contextlib
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pinprick.data.image_set import ImageSet
from pinprick.errors import InputError
from pinprick.files import write_atomically
from pinprick.runs.manifest import machine, versions
from pinprick.runs.result import Listener
from pinprick.runs.spec import Spec
from pinprick.targets.base import Target
from pinprick.targets.editing import Editing, Engine

SAMPLE = 2
"""Images on which ways are compared."""


def settle_engines(
    spec: Spec,
    target: Target,
    images: ImageSet,
    indices: list[int],
    stored: dict[str, bool] | None,
    listener: Listener,
    *,
    cache: Path | None = None,
) -> tuple[Editing | None, dict[str, bool]]:
    """The way candidates are scored, and for each number of pixels whether it is used: what the manifest keeps.

    Parameters
    ----------
    indices : some of the images that are to be attacked.
    stored : what the manifest of a continued run says, which is kept to; None for a new one.
    cache : the folder in which choices are remembered, so that the next run of the same network on this machine
        chooses the same; the user's cache by default.

    Raises
    ------
    InputError : ``--engine incremental`` where that is not exact or does not apply; another engine than the stored one;
        a continued run on windows that are not exact here.
    """
    if stored is not None:
        _check_stored(spec, stored)
        if not any(stored.values()):
            return None, stored
    wanted = sorted({each for a in spec.attacks() for pixels in spec.pixels for each in a.on_windows(pixels)})
    if spec.engine == "incremental" and not wanted:
        names = " and ".join(attack.name for attack in spec.attacks())
        raise InputError("--engine incremental", f"{names} changes too much of an image for it", "Give auto.")
    if stored is None and spec.engine == "dense":
        return None, {str(pixels): False for pixels in wanted}
    channels, height, width = images.image(indices[0]).shape
    # What is kept of a base image would hold one draw of a random target for all candidates.
    editing = target.editing((channels, height, width)) if target.deterministic else None
    if editing is None:
        if spec.engine == "incremental":
            what = f"{target.name} is {'no torch module in single precision' if target.deterministic else 'random'}"
            if target.outputs == "labels":
                what = f"{target.name} tells labels alone, and these are not computed from what a pixel reaches"
            raise InputError("--engine incremental", what, "Give auto.")
        return None, {str(pixels): False for pixels in wanted}
    sample = images.stack(indices[:SAMPLE])
    if stored is not None:
        _restore(spec, editing, stored, sample)
        _tell(editing, [int(name) for name in stored], listener)
        return editing, stored
    path = (cache or _user_cache()) / "engines.json"
    known = _remembered(path) if spec.engine == "auto" else {}
    for pixels in wanted:
        key = _key(target, editing, pixels)
        # What was measured holds; whether it is exact is looked at each time, as nothing but that makes it right.
        if key in known and not (known[key] and editing.wrong(pixels, sample)):
            editing.restore(pixels, incremental=known[key], why="as measured on this machine before")
            continue
        against = getattr(target, "gain", 1.0)
        choice = editing.choose(pixels, spec.engine, sample, against=against)
        # Another program beside this one can make windows the slower way; that must not hold for all later runs.
        if spec.engine == "auto" and choice.ratio is not None and not choice.slower:
            known[key] = choice.incremental
            _remember(path, known)
    _tell(editing, wanted, listener)
    return editing, {str(pixels): editing.used_for(pixels) for pixels in wanted}


def _restore(spec: Spec, editing: Editing, stored: dict[str, bool], sample: NDArray[np.uint8]) -> None:
    """Score as the run did that is continued; raises InputError where that is on windows that are not exact here."""
    for name, incremental in stored.items():
        editing.restore(int(name), incremental=incremental)
        if incremental and (wrong := editing.wrong(int(name), sample)):
            raise InputError(
                f"--out {spec.out}",
                f"the run was begun on windows for {name} changed pixels, and here {wrong}",
                "Continue it with the versions that manifest.json names, or begin it anew in another folder.",
            )


def _tell(editing: Editing, wanted: list[int], listener: Listener) -> None:
    """Say for which numbers of pixels only what they reach is computed, and where a check was against it."""
    for pixels in wanted:
        choice, many = editing.choices[pixels], "" if pixels == 1 else "s"
        if choice.incremental:
            listener.say(f"{pixels} pixel{many}: only what they reach is computed, {choice.why}")
        elif choice.ratio is not None:
            listener.say(f"{pixels} pixel{many}: whole images are computed, as {choice.why}")


def _check_stored(spec: Spec, stored: dict[str, bool]) -> None:
    """Raise InputError where another engine is asked for than that of the run's beginning."""
    wanted: dict[Engine, bool] = {"dense": False, "incremental": True}
    if spec.engine in wanted:
        for pixels, incremental in stored.items():
            if incremental != wanted[spec.engine]:
                was = "incremental" if incremental else "dense"
                raise InputError(
                    f"--engine {spec.engine}", f"the run was begun as {was} for {pixels} pixels", "Leave it out."
                )


def _key(target: Target, editing: Editing, pixels: int) -> str:
    """What a choice holds for: these weights and steps, images of this shape, this number of pixels, this machine."""
    engine = editing.engine
    steps = engine.why if engine.graph is None else engine.graph.described()
    identity: dict[str, Any] = {name: value for name, value in target.identity().items() if name != "engine"}
    text = json.dumps(
        [identity, steps, engine.shape, pixels, machine(), versions() | target.versions()], sort_keys=True
    )
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _user_cache() -> Path:
    # Not needed by most commands, and slow to import.
    import pooch

    return Path(pooch.os_cache("pinprick"))


def _remembered(path: Path) -> dict[str, bool]:
    """Earlier choices; none where there is no file, or one that holds something else."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {key: value for key, value in found.items() if isinstance(value, bool)}


def _remember(path: Path, known: dict[str, bool]) -> None:
    # Without a place for it the next run chooses anew: no reason to stop this one.
    with contextlib.suppress(OSError, InputError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(known, indent=1, sort_keys=True) + "\n")
