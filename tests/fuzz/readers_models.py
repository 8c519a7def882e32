"""Readers of weights, and of the names that users write."""

from __future__ import annotations

import contextlib
import json
import os
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from hypothesis import strategies as st

from pinprick.data.sets import load_images
from pinprick.errors import PinprickError
from pinprick.models.checkpoints import read_checkpoint
from pinprick.models.pickles import read_state_dict
from pinprick.models.weights import load_net
from pinprick.runs.measures import measures
from pinprick.runs.spec import make_spec
from pinprick.runs.store import read_outcomes
from pinprick.targets.loading import load_target
from pinprick.targets.onnx_file import choose_output, expected_values, only_output, order_of, read_onnx
from pinprick.targets.passes import ask
from tests.fuzz import seeds
from tests.fuzz.mutations import (
    changed_json,
    damaged,
    damaged_zip,
)
from tests.fuzz.reader import Given, Reader, put


def names() -> st.SearchStrategy[Given]:
    home = st.sampled_from(["~", "~nobody-of-that-name/", "", "", "./", "/nowhere/"])
    text = st.text(st.characters(), max_size=8) | st.sampled_from(["x" * 300, "x/" * 3000, "loop/x", "a\0b", "."])
    suffix = st.sampled_from(["", ".png", ".parquet", ".safetensors", ".pt", ".onnx", ".py", ".py:f", ":test", ".json"])
    before = st.sampled_from(["", "", "", "fc:", "squeezenet:", "digits:", "cifar10:test@", "mnist@", "hf:", ":"])
    return st.tuples(before, home, text, suffix).map("".join)


def name(folder: Path, text: Given) -> None:
    """As a set, as a model, as a run's folder, and as every option that takes a path."""
    (folder / "loop").symlink_to("loop")
    known = re.fullmatch(r"(cifar10|mnist)(:[a-z]*)?|hf:[\w.-]+/.*", text, re.ASCII)
    # A module that Python has would be imported, whatever it does.
    module = re.fullmatch(r"[\w.]*:[^./]*", text)
    reads: list[Callable[[str], object]] = [measures, read_outcomes, lambda path: load_images("digits", classes=path)]
    reads += [] if known else [load_images]
    reads += [] if module else [load_target, lambda path: load_target(path, trust_pickle=True)]
    reads += [lambda path: make_spec({"model": "m", "data": "d", "out": path, "classes": path})]
    reads += [lambda path: make_spec({"model": "m", "image": path})]
    with contextlib.chdir(folder), mock.patch.dict(os.environ, {"HOME": str(folder)}):
        for read in reads:
            with contextlib.suppress(PinprickError):
                read(text)


def safetensors() -> st.SearchStrategy[Given]:
    whole = seeds.safetensors_files()
    size = struct.unpack("<Q", whole[0][:8])[0]
    header = json.loads(whole[0][8 : 8 + size])
    card = json.loads(header["__metadata__"]["pinprick"])

    def file(parts: tuple[Any, bytes]) -> bytes:
        text = json.dumps(parts[0]).encode()
        return struct.pack("<Q", len(text)) + text + parts[1]

    cards = changed_json([card]).map(lambda value: header | {"__metadata__": {"pinprick": json.dumps(value)}})
    headers = st.tuples(cards | changed_json([header]), st.just(whole[0][8 + size :])).map(file)
    return st.tuples(damaged(whole) | headers, st.sampled_from([None, "fc-4", "squeezenet", "lenet"]))


def weights(folder: Path, given: Given) -> None:
    data, net = given
    load_net(put(folder / "w.safetensors", data), net)


def pickles() -> st.SearchStrategy[Given]:
    return damaged(seeds.state_dicts()) | damaged_zip(seeds.state_dicts())


def state_dict(folder: Path, data: bytes) -> None:
    read_state_dict(put(folder / "w.pt", data), "weights", trusted=False)


def checkpoint(folder: Path, data: bytes) -> None:
    read_checkpoint(put(folder / "w.checkpoint", data), None, "cpu")


def classifiers() -> st.SearchStrategy[Given]:
    whole = seeds.skops_files()
    return damaged(whole) | damaged_zip(whole)


def classifier(folder: Path, data: bytes) -> None:
    """Whatever the file says that it is, it answers to an image or gives its reason."""
    target = load_target(str(put(folder / "x.skops", data)))
    answers = ask(target, np.zeros((2, 1, 2, 2), np.uint8), 2)
    json.dumps(target.identity())
    assert len(answers.scores) == 2


def onnx_files() -> st.SearchStrategy[Given]:
    return damaged(seeds.onnx_files())


def onnx_file(folder: Path, data: bytes) -> None:
    """As far as it is read before onnxruntime sees it, which runs in the user's process whatever is read here."""
    file = read_onnx(put(folder / "x.onnx", data), "--model x.onnx")
    head = choose_output(file, None, "--model x.onnx")
    assert only_output(file, head)
    for entry in file.model.graph.input:
        expected_values(file.model, entry.name)
        sizes = [one.dim_value or None for one in entry.type.tensor_type.shape.dim]
        order_of(sizes, file.model, entry.name, "--model x.onnx", "auto")


READERS = (
    Reader("name of a set, model or folder", names, name),
    Reader("safetensors weights and card", safetensors, weights),
    Reader("state dict", pickles, state_dict),
    Reader("checkpoint", pickles, checkpoint),
    Reader("classifier of skops", classifiers, classifier),
    Reader("ONNX file", onnx_files, onnx_file),
)
