"""Targets that are ONNX files, run by onnxruntime."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from pinprick.errors import InputError, TargetError, UnknownNameError, message, plain
from pinprick.models.preprocessing import Preprocess, parse_normalisation
from pinprick.paths import given_path
from pinprick.targets.arrays import LAYOUTS, Layout
from pinprick.targets.base import Outputs, Target
from pinprick.targets.onnx_file import (
    Head,
    OnnxFile,
    Order,
    choose_output,
    expected_values,
    only_output,
    order_of,
    read_onnx,
)
from pinprick.targets.runtime import session_options

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

    from pinprick.targets.loading import Options

_FLOATS: dict[str, type[np.generic]] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
}
_WHOLE: dict[str, type[np.generic]] = {"tensor(uint8)": np.uint8, "tensor(int32)": np.int32, "tensor(int64)": np.int64}
_INSTALL = "Install it: pip install 'pinprick[onnx]'."
LARGE = 96 * 96
"""Pixels from which images are large: a pass of them costs far more than that there is a pass."""
PIECE = 16
"""Large images that a file gets at a time. Passes that are not full are then filled up to a multiple of this only."""
_PROBE = 2
"""Rows of the pass that shows whether a file takes several images at a time, as its stated input says."""


class OnnxTarget(Target):
    """A classifier in an ONNX file: one input of images, one output of scores ``(N, K)`` or labels.

    Images reach a float input (16, 32 or 64 bits) in [0, 1], or as ``preprocess`` makes them, and an integer input
    (8, 32 or 64 bits) as 0 to 255. Where channels lie, how many rows it takes at a time and which size the images have
    is read from the file. Passes run on as many threads as torch has (``OMP_NUM_THREADS``).

    Parameters
    ----------
    path : the file; weights that it keeps in other files lie in the same folder.
    output : the name of the output to read, where several may be scores.
    preprocess : what happens to pixel values before a float input; of an integer input, the order of the channels
        alone.
    layout : ``"nhwc"`` or ``"nchw"``, where the file does not tell: of an input of rows of values, where ``auto`` is
        ``nhwc``, the order of the values of a colour image.
    device : ``"auto"`` and ``"cpu"`` are the processor; ``"cuda"``, ``"cuda:1"`` … need onnxruntime-gpu.
    what : how errors call the file.

    Raises
    ------
    InputError : onnxruntime is not installed; the file is no ONNX, is damaged, or needs operators that onnxruntime
        does not have; no single input of images, no output of scores or several; no such device.
    """

    def __init__(
        self,
        path: str | Path,
        outputs: Outputs = "auto",
        *,
        output: str | None = None,
        preprocess: Preprocess | None = None,
        layout: Layout = "auto",
        device: str = "auto",
        name: str | None = None,
        what: str | None = None,
    ) -> None:
        what = what or f"--model {path}"
        if layout not in LAYOUTS:
            raise UnknownNameError("--layout", str(layout), LAYOUTS)
        runtime = _runtime(what)
        super().__init__(name or Path(path).name, outputs)
        self.device = _device(device, runtime.get_available_providers())
        file = read_onnx(given_path(path, what), what)
        head = choose_output(file, output, what)
        self._session = _session(runtime, file, head, self.device, what)
        self._weights, self._output, self._version = file.digest, head.name, str(runtime.__version__)
        self._quiet = runtime.RunOptions()
        self._quiet.log_severity_level = 4
        self._piece: int | None = None
        self.preprocess = preprocess
        self.notes = (head.note,) if head.note else ()
        self.class_names, self.strict_names = head.classes, True
        self._read_input(file, what, layout)
        sizes = _sizes(self._session.get_outputs()[0].shape)
        if len(sizes) == 2 and (sizes[1] or 0) > 1:
            self.classes = sizes[1]
        if preprocess is not None and self.whole_numbers and _normalises(preprocess):
            raise InputError("--normalize", f"{self.name} takes whole numbers from 0 to 255", "Leave it out.")
        self.notes += () if self.whole_numbers else _trap(file, self._input, preprocess)
        if self.fixed_rows is None and self.shape is not None and self._takes_one():
            self.fixed_rows = 1
            self.notes += (f"note: {self.name} takes one image at a time, although it states no number",)

    @property
    def whole_numbers(self) -> bool:
        """Whether its input takes integers, 0 to 255."""
        return self._type in _WHOLE.values()

    def _read_input(self, file: OnnxFile, what: str, layout: Layout) -> None:
        """How the input takes images, as far as the file says."""
        inputs = self._session.get_inputs()
        if len(inputs) != 1:
            names = ", ".join(plain(one.name) for one in inputs) or "none"
            right = "It should have one, of images. Give a function that fills the others (file.py:function)."
            raise InputError(what, f"{len(inputs)} inputs ({names})", right)
        self._input = str(inputs[0].name)
        known = _FLOATS | _WHOLE
        if inputs[0].type not in known:
            wrong = f"its input {plain(self._input)!r} is {inputs[0].type}"
            raise InputError(what, wrong, "Images are float, float16, double, uint8, int32 or int64.")
        self._type = known[inputs[0].type]
        sizes = _sizes(inputs[0].shape)
        self._order: Order = order_of(sizes, file.model, self._input, what, layout)
        self._by_channel = layout == "nchw"
        self._values = sizes[1] if self._order == "flat" else None
        self.fixed_rows = sizes[0]
        rest = {"NCHW": sizes[1:], "NHWC": [*sizes[3:], *sizes[1:3]], "NHW": [1, *sizes[1:]], "flat": []}[self._order]
        self._channels = rest[0] if rest else None
        if rest and None not in rest:
            channels, height, width = (int(size or 0) for size in rest)
            self.shape = (channels, height, width)

    def piece(self, *, fast: bool) -> int | None:  # noqa: ARG002 (there is one way)
        return self.fixed_rows or self._piece

    def raw(self, images: torch.Tensor) -> NDArray[Any]:
        """What the chosen output holds for images ``(N, C, H, W)``; of a single column, two where it is known of what.

        Large images go in :data:`PIECE` at a time, once :meth:`prepare` has seen them.

        Raises
        ------
        InputError : images of another number of channels than the file takes.
        MemoryError : onnxruntime had too little of it.
        TargetError : onnxruntime failed.
        """
        if self._piece is not None and len(images) > self._piece:
            starts = range(0, len(images), self._piece)
            return np.concatenate([self._answer(images[start : start + self._piece]) for start in starts])
        return self._answer(images)

    def _answer(self, images: torch.Tensor) -> NDArray[Any]:
        feed = {self._input: self._fed(images)}
        try:
            found = self._session.run([self._output], feed, self._quiet)[0]
        except Exception as error:
            text = _said(error)
            if re.search(r"allocate memory|bad_alloc|bad allocation|out of memory", text, re.IGNORECASE):
                raise MemoryError(text) from error
            raise TargetError(f"onnxruntime: {text}") from error
        answer = np.asarray(found)
        # Some networks keep height and width, of 1 each, behind their classes.
        ones = tuple(axis for axis in range(1, answer.ndim) if answer.shape[axis] == 1)
        if answer.ndim > 2:
            answer = answer.squeeze(ones)
        return _two_columns(answer, self.outputs)

    def _fed(self, images: torch.Tensor) -> NDArray[Any]:
        """Images ``(N, C, H, W)`` in [0, 1] as the file takes them."""
        n, channels, height, width = images.shape
        if self._channels not in (None, channels) or (self._order == "NHW" and channels != 1):
            takes = "RGB" if self._channels == 3 else "gray"
            given = "gray" if channels == 1 else "RGB" if channels == 3 else f"of {channels} channels"
            raise InputError("--data", f"the images are {given}, and {self.name} takes {takes} ones", "Convert them.")
        if self._order == "flat" and self._values not in (None, channels * height * width):
            wrong = f"images of {channels} x {height} x {width}, and {self.name} takes {self._values} values an image"
            raise InputError("--data", wrong, "Use --resize and --crop, or other images.")
        if self.preprocess is not None:
            images = self.preprocess(images)
        if self.whole_numbers:
            images = images.mul(255).round_()
        if self._order == "NHWC":
            images = images.permute(0, 2, 3, 1)
        elif self._order == "NHW":
            images = images[:, 0]
        elif self._order == "flat":
            images = (images if self._by_channel else images.permute(0, 2, 3, 1)).reshape(n, -1)
        return np.ascontiguousarray(images.detach().cpu().numpy(), dtype=self._type)

    def prepare(self, images: torch.Tensor) -> None:
        large = images.shape[2] * images.shape[3] >= LARGE
        self._piece = PIECE if large and self.fixed_rows is None and self.device.type == "cpu" else None
        if self._order == "flat" and images.shape[1] == 3 and not self._by_channel:
            self.note("note: colours go in pixel by pixel (--layout nhwc); --layout nchw is channel by channel")

    def _takes_one(self) -> bool:
        """Whether the file fails on two images and works on one: a size of 1 was fixed within it when it was made."""
        assert self.shape is not None
        if self._order == "flat":
            return False
        noise = np.random.default_rng(0).integers(0, 256, (_PROBE, *self.shape), dtype=np.uint8)
        return not self._works(self.images(noise)) and self._works(self.images(noise[:1]))

    def _works(self, images: torch.Tensor) -> bool:
        """Whether images get an answer with a row for each."""
        try:
            return self.raw(images).shape[:1] == (len(images),)
        except (TargetError, MemoryError):
            return False

    def identity(self) -> dict[str, Any]:
        return super().identity() | {
            "weights": self._weights,
            "output": self._output,
            "layout": self._order + (", by channel" if self._order == "flat" and self._by_channel else ""),
            "engine": f"onnxruntime, {self._session.get_providers()[0].removesuffix('ExecutionProvider')}",
            "device": self.device.type,
            "preprocess": None if self.preprocess is None else self.preprocess.described(),
        }

    def versions(self) -> dict[str, str]:
        return {"onnxruntime": self._version}


def load(model: str, options: Options) -> OnnxTarget:
    """The target that ``net.onnx`` names, or ``net.onnx:output`` with the output to read.

    Raises
    ------
    InputError : see :class:`OnnxTarget`; a normalisation or order that is none.
    """
    what = f"--model {model}"
    if options.trust_pickle:
        raise InputError("--trust-pickle", f"{model!r} is no pickle, by its name", "Leave it out.")
    found = re.match(r"(.*?\.onnx)(?::(.+))?$", model, re.IGNORECASE | re.DOTALL)
    if found is None:
        raise InputError(what, "no output named behind the colon", "Leave the colon out, or write net.onnx:output.")
    path, output = found.groups()
    preprocess = None
    if options.normalize is not None or options.order not in (None, "rgb"):
        mean, std = parse_normalisation(options.normalize or "none")
        preprocess = Preprocess(mean, std, options.order or "rgb")
    name = Path(path).name
    return OnnxTarget(
        path,
        options.outputs,
        output=output,
        preprocess=preprocess,
        layout=options.layout,
        device=options.device,
        name=name,
        what=what,
    )


def _runtime(what: str) -> Any:
    """onnxruntime, and onnx beside it."""
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        missing = "onnxruntime and onnx are" if error.name is None else f"{error.name} is"
        wrong = f"{missing} needed to run ONNX files, and cannot be imported ({plain(message(error))})"
        raise InputError(what, wrong, _INSTALL) from None
    assert onnx.__version__
    return onnxruntime


def _device(device: str, providers: list[str]) -> torch.device:
    if device in ("auto", "cpu"):
        return torch.device("cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError:
        raise InputError("--device", f"there is no {device!r}", "Give auto, cpu, cuda, cuda:1 and so on.") from None
    if chosen.type != "cuda" or "CUDAExecutionProvider" not in providers:
        wrong = f"{device!r}, and this onnxruntime has {', '.join(providers)}"
        raise InputError("--device", wrong, "Give cpu, or install onnxruntime-gpu in place of onnxruntime for cuda.")
    return chosen


def _session(runtime: Any, file: OnnxFile, head: Head, device: torch.device, what: str) -> InferenceSession:
    options = session_options(runtime)
    folder = str(file.path.resolve().parent)
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", folder)
    providers: list[Any] = ["CPUExecutionProvider"]
    if device.type == "cuda":
        # The exhaustive choice of algorithms times them, and may choose others the next time.
        cuda = {"device_id": device.index or 0, "cudnn_conv_algo_search": "HEURISTIC", "use_tf32": 0}
        providers.insert(0, ("CUDAExecutionProvider", cuda))
    try:
        with warnings.catch_warnings():
            # What it cannot use it warns of and leaves out; that is looked at below.
            warnings.simplefilter("ignore")
            session: InferenceSession = runtime.InferenceSession(
                only_output(file, head), options, providers=providers, enable_fallback=0
            )
            # Names that are no text are told of only when they are asked for.
            _ = session.get_inputs(), session.get_outputs()
    except Exception as error:
        right = "Export it anew, with standard operators; an older onnxruntime does not know the newest ones."
        raise InputError(what, f"onnxruntime cannot load it ({_said(error)})", right) from None
    if device.type == "cuda" and session.get_providers()[0] != "CUDAExecutionProvider":
        raise InputError("--device", "onnxruntime could not start on CUDA", "See that its CUDA fits the driver's.")
    return session


def _said(error: Exception) -> str:
    """What onnxruntime says, on one line, without its numbers and places in its source."""
    text = " ".join(message(error).split())
    text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", text)
    text = re.sub(r"/?\S*(onnxruntime|onnxruntime_src)/\S+:\d+ .*?\) ", "", text)
    return plain(text).rstrip(". ")[:300] or type(error).__name__


def _sizes(shape: Any) -> list[int | None]:
    """Sizes of a stated shape; None where the file gives a name or nothing."""
    return [size if isinstance(size, int) and size > 0 else None for size in shape or ()]


def _normalises(preprocess: Preprocess) -> bool:
    return bool((preprocess.mean != 0).any() or (preprocess.std != 1).any())


def _trap(file: OnnxFile, name: str, preprocess: Preprocess | None) -> tuple[str, ...]:
    """A warning where the values that the network is given are not those that its first operator expects."""
    expected = expected_values(file.model, name)
    given = "unit" if preprocess is None or not _normalises(preprocess) else "normalised"
    if given == "normalised" and preprocess is not None and float(preprocess.std.min()) < 0.02:
        given = "bytes"
    if expected == "bytes" and given != "bytes":
        return (
            f"warning: {file.path.name} begins by scaling values from 0 to 255 down, and is given others; "
            "--normalize 0..255 gives it these",
        )
    if expected == "normalising" and given != "unit":
        return (
            f"warning: {file.path.name} normalises values in [0, 1] itself, and --normalize does so before; leave it "
            "out unless it was trained so",
        )
    return ()


def _two_columns(answer: NDArray[Any], outputs: Outputs) -> NDArray[Any]:
    """Scores ``(N, 2)`` of a single column that was said to be the second class's: its probability, or its logit."""
    if answer.ndim != 2 or answer.shape[1] != 1 or answer.dtype.kind != "f":
        return answer
    if outputs == "probabilities":
        return np.concatenate([1 - answer, answer], axis=1)
    if outputs == "logits":
        return np.concatenate([np.zeros_like(answer), answer], axis=1)
    return answer
