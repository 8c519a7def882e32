"""A model file and images as a user has them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import save_file

from pinprick.data.digits import digits
from tests.conftest import digits_net

FACTORY = '''
"""A user's own model file."""
import time
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

print("loading my model")


def net():
    net = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(256, 10))
    net.load_state_dict(load_file(Path(__file__).parent / "net.safetensors"))
    return net


def probabilities():
    inner = net().eval()

    def score(images):
        print("asked for", len(images))
        with torch.no_grad():
            return inner(images).softmax(1).numpy()

    return score


def slow():
    inner = net().eval()

    def score(images):
        time.sleep(0.02)
        with torch.no_grad():
            return inner(images)

    return score


def raising():
    raise ValueError("where are my weights?")


def leaving():
    raise SystemExit("bye")


def nothing():
    return {"a": 1}


not_a_function = 3
'''


@pytest.fixture(scope="session")
def user(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``model.py``, its weights, and ``images/`` with a sub-folder a class."""
    folder = tmp_path_factory.mktemp("user")
    (folder / "model.py").write_text(FACTORY)
    save_file(dict(digits_net().state_dict()), folder / "net.safetensors")
    images = digits("test")
    assert images.labels is not None
    for index in range(40):
        place = folder / "images" / str(images.labels[index])
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.asarray(images.image(index)[0])).save(place / f"{index}.png")
    return folder


def pinprick(*arguments: str, cwd: Path, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "pinprick.cli.main", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
