"""Models that are no torch modules: classifiers of scikit-learn, programs of torch.export, objects with predict."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import joblib
import numpy as np
import torch
from sklearn.linear_model import LinearRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier
from torch import nn

from pinprick.data.folder import image_folder
from tests.bad_input.case import Case, Section
from tests.bad_input.files import write


def rows(folder: Path, white: float = 255) -> Any:
    """The photos as rows of features, pixel by pixel."""
    images = image_folder(folder / "photos", None, name="photos").stack()
    return images.transpose(0, 2, 3, 1).reshape(len(images), -1) * (white / 255)


def fitted(
    make: Callable[[], Any], name: str, classes: tuple[Any, ...] = (0, 1, 2), white: float = 255
) -> Callable[[Path], None]:
    """A classifier of the photos in a file of joblib or skops."""

    def put(folder: Path) -> None:
        made = make().fit(rows(folder, white), np.repeat(np.array(classes), 2))
        if name.endswith(".skops"):
            import skops.io

            skops.io.dump(made, folder / name)
        else:
            joblib.dump(made, folder / name)

    return put


def other_size(folder: Path) -> None:
    joblib.dump(GaussianNB().fit(np.eye(6), [0, 0, 1, 1, 2, 2]), folder / "m.joblib")


def not_fitted(folder: Path) -> None:
    (folder / "m.pkl").write_bytes(pickle.dumps(GaussianNB()))


def exported(rows: int, *, flat: bool = False) -> Callable[[Path], None]:
    def put(folder: Path) -> None:
        torch.manual_seed(0)
        net = nn.Sequential(nn.Flatten(), nn.Linear(360, 3)).eval()
        example = torch.rand(rows, 360) if flat else torch.rand(rows, 3, 12, 10)
        torch.export.save(torch.export.export(net, (example,)), folder / "net.pt2")

    return put


PREDICTOR = """
class Model:
    input_shape = (None, {shape})

    def predict(self, x, verbose="auto"):
        return x.reshape(len(x), -1)[:, :3]

model = Model()
"""


def predictor(shape: str) -> Callable[[Path], object]:
    return lambda folder: (folder / "mine.py").write_text(PREDICTOR.format(shape=shape))


def bayes() -> Any:
    return GaussianNB(var_smoothing=0.1)


def tree() -> Any:
    return DecisionTreeClassifier(random_state=0)


def without(*names: str) -> Callable[[Path], AbstractContextManager[object]]:
    """As where these packages are not installed."""
    return lambda folder: mock.patch.dict("sys.modules", dict.fromkeys(names))


def for_another_torch(folder: Path) -> None:
    write(folder / "timm" / "__init__.py", "raise RuntimeError('operator torchvision::nms does not exist')\n")


@contextmanager
def own_timm(folder: Path) -> Iterator[None]:
    """The folder's timm in place of an installed one."""
    with mock.patch.dict("sys.modules"), mock.patch("sys.path", [str(folder), *sys.path]):
        sys.modules.pop("timm", None)
        yield


AUTO = "--outputs auto"
JOBLIB = f"--model m.joblib --trust-pickle {AUTO}"
RANGE = "--normalize 0..255"
PT2 = "--model net.pt2 --trust-pickle"
CLASSES = ("ant", "bee", "wasp")

ESTIMATORS = Section(
    "Classifiers of scikit-learn",
    "",
    (
        Case("a file of joblib", f"--model m.joblib {AUTO}", fitted(bayes, "m.joblib")),
        Case("`--trust-pickle`: is loaded", f"{JOBLIB} {RANGE}", fitted(bayes, "m.joblib")),
        Case("it was fitted on another range", JOBLIB, fitted(tree, "m.joblib")),
        Case("a range that is none", f"{JOBLIB} --normalize 255..0", fitted(bayes, "m.joblib")),
        Case("it was fitted on images of another size", JOBLIB, other_size),
        Case("no classifier", JOBLIB, fitted(LinearRegression, "m.joblib")),
        Case("something that predicts nothing", JOBLIB, fitted(StandardScaler, "m.joblib")),
        Case("it is not fitted", f"--model m.pkl --trust-pickle {AUTO}", not_fitted),
        Case(
            "one class of the set is none of its",
            f"{JOBLIB} {RANGE} --labels given",
            fitted(bayes, "m.joblib", CLASSES),
        ),
        Case("scores that it does not have", f"{JOBLIB} --outputs logits", fitted(tree, "m.joblib")),
        Case("a layout that there is not", f"{JOBLIB} --layout hwc", fitted(bayes, "m.joblib")),
        Case("a layout for a torch module", "--layout nhwc"),
        Case("a file of skops: is loaded", f"--model m.skops {AUTO} {RANGE}", fitted(bayes, "m.skops")),
        Case(
            "a file of skops with types that it does not vouch for",
            f"--model m.skops {AUTO}",
            fitted(tree, "m.skops"),
        ),
        Case(
            "a file of skops without the package",
            f"--model m.skops {AUTO}",
            fitted(bayes, "m.skops"),
            around=without("skops", "skops.io"),
        ),
    ),
)

PROGRAMS = Section(
    "Programs of torch.export, objects with predict",
    "",
    (
        Case("a program of torch.export", "--model net.pt2", exported(4)),
        Case("`--trust-pickle`: is loaded, and asked in its own number of images", PT2, exported(5)),
        Case("another number of images at a time", f"{PT2} --batch-size 7", exported(4)),
        Case("a program that takes no images", PT2, exported(4, flat=True)),
        Case("an object whose predict takes no images", "--model mine.py:model", predictor("360")),
        Case("an object with predict: is asked with arrays", "--model mine.py:model", predictor("12, 10, 3")),
    ),
)


HUBS = Section(
    "Pretrained networks by name",
    "",
    (
        Case("timm is not installed", "--model timm:resnet18", around=without("timm")),
        Case("timm does not go with this torch", "--model timm:resnet18", for_another_torch, around=own_timm),
        Case("torchvision is not installed", "--model torchvision:resnet18", around=without("torchvision")),
        Case("transformers is not installed", "--model hf:owner/name", around=without("transformers")),
        Case("a folder that is not there", "--model hf:./nowhere"),
    ),
)

SECTIONS = (ESTIMATORS, PROGRAMS, HUBS)
