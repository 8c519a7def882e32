"""Model files, factories, and what models answer."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from pinprick.models.registry import build_net
from pinprick.models.weights import Card, save_weights
from tests.bad_input.case import Case, Section
from tests.bad_input.files import one, write

SHAPE = (3, 12, 10)
FC = "--model fc:w.safetensors"


def fc_weights(change: Callable[[nn.Module], object] | None = None) -> Callable[[Path], None]:
    """``w.safetensors`` of a linear network."""

    def make(folder: Path) -> None:
        torch.manual_seed(0)
        net = build_net("fc", 3, SHAPE)
        save_weights(folder / "w.safetensors", net, Card("fc", 3, SHAPE, (0.5,), (0.5,)))

    return make


def cut_weights(folder: Path) -> None:
    fc_weights()(folder)
    path = folder / "w.safetensors"
    path.write_bytes(path.read_bytes()[:-9])


def tensors(**values: torch.Tensor) -> Callable[[Path], None]:
    return lambda folder: save_file(values, folder / "w.safetensors")


def card(**values: torch.Tensor) -> Callable[[Path], None]:
    """Weights with the card of a linear network and other tensors."""
    text = '{"net": "fc", "classes": 3, "shape": [3, 12, 10], "mean": [0.5], "std": [0.5]}'
    return lambda folder: save_file(values, folder / "w.safetensors", {"pinprick": text})


def pickled(value: Callable[[], object], name: str = "net.pt", cut: int | None = None) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        torch.save(value(), folder / name)
        if cut is not None:
            (folder / name).write_bytes((folder / name).read_bytes()[:cut])

    return make


def scripted(folder: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(nn.Sequential(nn.Flatten(), nn.Linear(360, 3))).save(  # type: ignore[no-untyped-call]
            str(folder / "net.pt")
        )


def lost_class(folder: Path) -> None:
    """A pickle of a class that is defined nowhere any more."""
    import sys
    from types import ModuleType

    module: Any = ModuleType("own_net")
    exec("from torch import nn\nclass Net(nn.Flatten):\n    pass\n", vars(module))
    module.Net.__module__ = "own_net"
    sys.modules["own_net"] = module
    torch.save(module.Net(), folder / "net.pt")
    del sys.modules["own_net"]


def linear() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(360, 3))


def state() -> Any:
    return linear().state_dict()


PT = "--model net.pt"
TRUSTED = f"{PT} --trust-pickle"

FILES = Section(
    "Model files",
    "Nothing in a pickle is run unless `--trust-pickle` is given.",
    (
        Case("a name that is none", "--model cnn-digit"),
        Case("a file that is not there", "--model fc:nowhere.safetensors"),
        Case("no file in the place of one", "--model photos.safetensors", lambda f: (f / "photos.safetensors").mkdir()),
        Case("weights that are cut off", FC, cut_weights),
        Case("weights of another network", "--model cnn:w.safetensors", fc_weights()),
        Case("a network that there is not", "--model fcc:w.safetensors", tensors(a=torch.zeros(1))),
        Case("weights that do not say what they are of", FC, tensors(a=torch.zeros(1))),
        Case("tensors that are not the network's", FC, card(a=torch.zeros(1))),
        Case(
            "weights that are NaN", FC, card(**{"1.weight": torch.full((3, 360), torch.nan), "1.bias": torch.ones(3)})
        ),
        Case("weights for images of another size", FC + " --resize 16", fc_weights()),
        Case("a pickled module", PT, pickled(linear)),
        Case("a TorchScript archive", PT, scripted),
        Case("a pickle that is not there", PT),
        Case("`--trust-pickle`, cut off", TRUSTED, pickled(linear, cut=900)),
        Case("`--trust-pickle`, and its class is nowhere", TRUSTED, lost_class),
        Case("`--trust-pickle`, and it holds no module", TRUSTED, pickled(lambda: [1, 2])),
        Case("`--trust-pickle`, and it holds a state dict", TRUSTED, pickled(state)),
        Case("`--trust-pickle` without a pickle", "--trust-pickle"),
        Case("a state dict of a network whose images are not known", "--model lenet:net.pt", pickled(state)),
        Case("a state dict that is none", "--model squeezenet:net.pt", pickled(linear)),
        Case("a state dict of another network", "--model squeezenet:net.pt", pickled(state)),
        Case("a model of something else than torch", "--model net.tflite", one(b"", "net.tflite")),
        Case("`--trust-pickle`: is loaded", TRUSTED, pickled(linear)),
        Case("`--trust-pickle` for TorchScript: is loaded", TRUSTED, scripted),
    ),
)


def broken_syntax(folder: Path) -> None:
    write(folder / "broken.py", "def net(:\n")


def import_of_nothing(folder: Path) -> None:
    write(folder / "broken.py", "import timmm\n")


FACTORIES = Section(
    "Model functions",
    "",
    (
        Case("a Python file that is not there", "--model nowhere.py:net"),
        Case("a function that is not in it", "--model mine.py:nett", one(b"def net():\n    return None\n", "mine.py")),
        Case("no function named", "--model model.py"),
        Case("nothing after the colon", "--model model.py:"),
        Case("something that is no function", "--model model.py:a_number"),
        Case("a file that is no Python", "--model broken.py:net", broken_syntax),
        Case("a package that is not installed", "--model broken.py:net", import_of_nothing),
        Case("a function that raises", "--model model.py:raises"),
        Case("the function that takes images, and not one that returns it", "--model model.py:scores"),
        Case("a function that ends Python", "--model model.py:leaves"),
        Case("a function whose weights are missing", "--model model.py:missing_weights"),
        Case("a function that returns a dict", "--model model.py:a_dict"),
        Case("a function that returns nothing", "--model model.py:none"),
        Case("a normalisation that there is not", "--normalize imagnet"),
        Case("a normalisation of three values for gray images", "--normalize imagenet --data digits"),
        Case("a normalisation for a plain function", "--model model.py:labels --normalize half"),
        Case("a device that there is not", "--device tpu"),
    ),
)

AUTO = "--outputs auto"

ANSWERS = Section(
    "What a model answers",
    "A unit whose image the model fails on fails by itself, and the others go on.",
    (
        Case("NaN, always", "--model model.py:nan"),
        Case("NaN, for some images", "--model model.py:nan_sometimes"),
        Case("infinity, always", f"--model model.py:infinite {AUTO}"),
        Case("it raises, always", "--model model.py:raises_when_called"),
        Case("it raises in the middle of a run", "--model model.py:raises_sometimes"),
        Case("all of the first 20 units fail", "--model model.py:nan_sometimes --pixels 1,3,5,7 --budget 40 --limit 6"),
        Case("scores of a wrong shape", "--model model.py:wrong_shape"),
        Case("scores of a wrong shape, nothing said of outputs", f"--model model.py:wrong_shape {AUTO}"),
        Case("one row for all images", "--model model.py:one_row"),
        Case("one score an image", f"--model model.py:one_column {AUTO}"),
        Case("a dict with logits among other things: these are taken", "--model model.py:dictionary"),
        Case("words", "--model model.py:words"),
        Case("its number of classes changes", "--model model.py:grows"),
        Case("sigmoids", f"--model model.py:sigmoids {AUTO}"),
        Case("logits that are said to be probabilities", "--outputs probabilities"),
        Case("probabilities that are said to be logits", "--model model.py:probabilities"),
        Case(
            "labels, for an attack that needs scores", f"--model model.py:labels {AUTO} --attack one-pixel --budget -"
        ),
        Case("a model of single images only", "--model model.py:single"),
        Case("a model that is left in training mode", "--model model.py:training"),
        Case("a model that is random", "--model model.py:dropout --budget 40"),
    ),
)

SECTIONS = (FILES, FACTORIES, ANSWERS)
