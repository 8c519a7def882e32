"""What the cases find in their folders: model files, images, weights, runs."""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image as PILImage

MODEL = '''
import signal

import torch
from torch import nn


class Net(nn.Module):
    """Three classes, for images of any size; always the same weights."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(16, 3)
        with torch.no_grad():
            self.linear.weight.copy_(torch.linspace(-3, 4, 48).reshape(3, 16) % 1.7)
            self.linear.bias.zero_()

    def forward(self, images):
        return self.linear(nn.functional.adaptive_avg_pool2d(images.mean(1, keepdim=True), 4).flatten(1)) * 9


def net():
    return Net().eval()


class Otherwise(Net):
    """Answers otherwise for some images: those for which ``bad`` says so."""

    def __init__(self, change, bad=lambda images: torch.ones(len(images), dtype=torch.bool)):
        super().__init__()
        self.change, self.bad = change, bad
        self.eval()

    def forward(self, images):
        return self.change(super().forward(images), self.bad(images))


def bright(images):
    """Images with a bright pixel, as searches put them into photos here, which have none; not of noise."""
    return (images > 0.8).flatten(1).any(1) & (images.flatten(1).mean(1) < 0.45)


def put(value):
    def change(scores, bad):
        scores = scores.clone()
        scores[bad] = value
        return scores

    return change


def fail(scores, bad):
    if bad.any():
        raise RuntimeError("an image that I do not like")
    return scores


def interrupt(scores, bad):
    if bad.any():
        signal.raise_signal(signal.SIGINT)
    return scores


def missing_weights():
    Net().load_state_dict(torch.load("weights/best.pt", weights_only=True))


def raises():
    raise ValueError("which weights?")


def leaves():
    raise SystemExit("no licence found")


def nan():
    return Otherwise(put(float("nan")))


def nan_sometimes():
    return Otherwise(put(float("nan")), bright)


def infinite():
    return Otherwise(put(float("inf")))


def raises_when_called():
    return Otherwise(fail)


def raises_sometimes():
    return Otherwise(fail, bright)


def interrupted():
    return Otherwise(interrupt, bright)


def grows():
    return Otherwise(lambda scores, bad: torch.cat([scores, scores[:, :1]], 1) if bad.any() else scores, bright)


def wrong_shape():
    return Otherwise(lambda scores, bad: scores[:, :, None, None])


def one_row():
    return Otherwise(lambda scores, bad: scores[:1])


def one_column():
    return Otherwise(lambda scores, bad: scores[:, :1])


def dictionary():
    return Otherwise(lambda scores, bad: {"logits": scores})


def words():
    return lambda images: ["cat"] * len(images)


def scores(images):
    return Net()(images)


def sigmoids():
    return Otherwise(lambda scores, bad: scores.sigmoid())


def probabilities():
    return Otherwise(lambda scores, bad: scores.softmax(1))


def labels():
    return lambda images: Net()(images).argmax(1)


def dropout():
    class Always(nn.Module):
        def forward(self, x):
            return nn.functional.dropout(x, 0.5, training=True)

    return nn.Sequential(Net(), Always()).eval()


def training():
    return nn.Sequential(Net(), nn.Dropout(0.5)).train()


def single():
    def score(images):
        if len(images) != 1:
            raise ValueError("made for a batch of 1")
        return Net()(images)

    return score


def a_dict():
    return {"state_dict": {}}


def none():
    return None


a_number = 3
'''


def photo(seed: int = 0, height: int = 12, width: int = 10) -> PILImage.Image:
    """An RGB photo without any value near white."""
    return PILImage.fromarray(np.random.default_rng(seed).integers(0, 200, (height, width, 3), dtype=np.uint8))


def make_usual(folder: Path) -> None:
    """``model.py`` and ``photos`` with three classes of two images."""
    (folder / "model.py").write_text(MODEL)
    for seed, name in enumerate(("ant/1", "ant/2", "bee/1", "bee/2", "cat/1", "cat/2")):
        write(folder / "photos" / f"{name}.png", png(photo(seed)))


def write(path: Path, content: str | bytes) -> None:
    """A file, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def png(image: PILImage.Image, **options: object) -> bytes:
    """The bytes of an image as PNG."""
    return saved(image, "PNG", **options)


def saved(image: PILImage.Image, form: str, **options: object) -> bytes:
    """The bytes of an image in any format."""
    buffer = io.BytesIO()
    image.save(buffer, format=form, **options)
    return buffer.getvalue()


def chunked_png(width: int, height: int, bits: int, colour: int, raw: bytes) -> bytes:
    """A PNG written by hand."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def one(content: bytes, name: str = "own/x.png") -> Callable[[Path], None]:
    """Makes a file with this content."""
    return lambda folder: write(folder / name, content)


def classes_json(content: object) -> Callable[[Path], None]:
    """Makes ``names.json``."""
    return lambda folder: write(folder / "names.json", json.dumps(content))
