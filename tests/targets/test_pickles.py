"""Pickles and TorchScript archives after --model: nothing in them runs unless the user says so."""

from __future__ import annotations

import importlib
import pickle
import sys
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from pinprick.api import attack
from pinprick.data.digits import digits
from pinprick.errors import InputError
from pinprick.models.registry import build_net
from pinprick.targets.loading import load_target
from pinprick.targets.torch_target import TorchTarget
from tests.conftest import digits_net, random_images

IMAGES = random_images(4, (1, 8, 8))


class Trap:
    """Leaves a mark where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, tuple[Path]]:
        return Path.touch, (self.mark,)


class Writer(nn.Module):
    """Writes a file when it is called; as TorchScript it needs no Python for that."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        found = torch.from_file(self.path, shared=True, size=4)
        found.fill_(1.0)
        return images.flatten(1)[:, :10] + found[0]


@pytest.fixture
def no_new_imports(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What is imported from a user's folder is forgotten again."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith("user_"):
            del sys.modules[name]


def script(module: nn.Module, path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(module).save(str(path))  # type: ignore[no-untyped-call]
    return path


def saved(value: object, path: Path, **options: Any) -> Path:
    torch.save(value, path, **options)
    return path


def scores(model: str, **options: Any) -> Any:
    target = load_target(model, device="cpu", **options)
    return target.scores(target.images(IMAGES))


def own_scores() -> Any:
    target = TorchTarget(digits_net(), "logits", device="cpu")
    return target.scores(target.images(IMAGES))


@pytest.mark.parametrize("name", ["net.pt", "net.PTH", "net.pkl", "net.ckpt", "net.bin"])
def test_a_pickled_module_is_loaded_where_it_is_trusted_and_not_otherwise(name: str, tmp_path: Path) -> None:
    path = str(saved(digits_net(), tmp_path / name))
    with pytest.raises(InputError, match=r"can run any code when it is loaded\. .*--trust-pickle.*safetensors"):
        load_target(path)
    assert np.array_equal(scores(path, trust_pickle=True), own_scores())


def test_a_torchscript_archive_is_a_program_too(tmp_path: Path) -> None:
    path = str(script(digits_net(), tmp_path / "net.pt"))
    with pytest.raises(InputError, match=r"a TorchScript archive, a program.*--trust-pickle"):
        load_target(path)
    assert np.array_equal(scores(path, trust_pickle=True), own_scores())


def test_what_is_said_of_torchscript_is_so(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    target = load_target(str(script(Writer(str(mark)), tmp_path / "net.pt")), trust_pickle=True, device="cpu")
    target.scores(target.images(IMAGES))
    assert mark.stat().st_size == 16


def test_nothing_in_a_pickle_runs_without_trust(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    trap = {"conv1.weight": Trap(mark)}
    files = [
        saved(trap, tmp_path / "zip.pt"),
        saved(trap, tmp_path / "old.pt", _use_new_zipfile_serialization=False),
        tmp_path / "plain.pt",
    ]
    files[2].write_bytes(pickle.dumps(trap))
    for path in files:
        for model in (str(path), f"squeezenet:{path}"):
            with pytest.raises(InputError, match="--trust-pickle"):
                load_target(model)
    assert not mark.exists()
    with pytest.raises(InputError, match="it holds a dict, no module"):
        load_target(str(files[0]), trust_pickle=True)
    assert mark.exists(), "the trap works"


@pytest.mark.parametrize("inside", [False, True])
def test_a_state_dict_needs_no_trust_where_the_network_is_known(inside: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = build_net("squeezenet", 1000, (3, 227, 227))
    state = net.state_dict()
    path = saved({"state_dict": state, "epoch": 3} if inside else state, tmp_path / "w.pt")
    for trust in (False, True):
        target = load_target(f"squeezenet:{path}", trust_pickle=trust, device="cpu")
        assert isinstance(target, TorchTarget)
        found = target.module.state_dict()
        assert found.keys() == state.keys()
        assert all(torch.equal(found[name], state[name]) for name in state)
        assert target.shape == (3, 227, 227)


def test_a_state_dict_by_itself_asks_for_its_network(tmp_path: Path) -> None:
    path = saved(digits_net().state_dict(), tmp_path / "w.pt")
    with pytest.raises(InputError, match=r"no module\. For a state dict say of which network: NET:.*squeezenet"):
        load_target(str(path), trust_pickle=True)
    with pytest.raises(InputError, match="does not state its classes, image shape and preprocessing"):
        load_target(f"lenet:{path}")
    with pytest.raises(InputError, match=r"'lnet'.*Did you mean lenet"):
        load_target(f"lnet:{path}")
    with pytest.raises(InputError, match="tensors missing or too many for 'squeezenet'"):
        load_target(f"squeezenet:{path}")


def contents() -> dict[str, tuple[object, str]]:
    wide = torch.zeros(1).expand(1 << 40)
    sparse = torch.eye(3).to_sparse()
    return {
        "a tensor": (torch.zeros(2), "it holds a Tensor, no state dict"),
        "nothing": ({}, "it holds a dict, no state dict"),
        "a number": ({"a": 3}, "entry 'a' is a int, no tensor"),
        "a number for a name": ({3: torch.zeros(2)}, "entry '3' is a Tensor"),
        "sparse": ({"a": sparse}, "tensor 'a' is of a kind that is not read"),
        "spread out": ({"a": wide}, "tensor 'a' is larger than what is stored of it"),
        "a module": (digits_net(), "more than a state dict is in it (torch.nn.modules.container.Sequential)"),
    }


@pytest.mark.parametrize("kind", contents())
def test_what_is_no_state_dict_is_named(kind: str, tmp_path: Path) -> None:
    value, message = contents()[kind]
    with pytest.raises(InputError) as raised:
        load_target(f"squeezenet:{saved(value, tmp_path / 'w.pt')}")
    assert message in str(raised.value)


def test_damaged_and_foreign_files(tmp_path: Path) -> None:
    path = saved({"a": torch.arange(100.0)}, tmp_path / "w.pt")
    whole = path.read_bytes()
    model = f"squeezenet:{path}"

    def refused(data: bytes, message: str, **options: Any) -> None:
        path.write_bytes(data)
        for name in (model, str(path)):
            with pytest.raises(InputError, match=message):
                load_target(name, **options)

    flipped = bytearray(whole)
    flipped[whole.index(np.float32(41).tobytes())] ^= 1
    path.write_bytes(bytes(flipped))
    with pytest.raises(InputError, match="wrong checksum of 'w/data/0'"):
        load_target(model)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("w/data.pkl", bytes(10_000))
    with pytest.raises(InputError, match=r"'w/data\.pkl' is packed"):
        load_target(model)
    refused(b"", r"the file is empty \(0 bytes\)")
    refused(whole[:-30], "--trust-pickle")
    refused(whole[:-30], "loading it raised", trust_pickle=True)
    refused(b"no weights", "loading it raised", trust_pickle=True)
    path.unlink()
    for name in (model, str(path)):
        with pytest.raises(InputError, match="there is no file"):
            load_target(name)
    path.mkdir()
    with pytest.raises(InputError, match="cannot be read"):
        load_target(str(path), trust_pickle=True)


@pytest.mark.usefixtures("no_new_imports")
def test_a_class_is_found_beside_its_pickle_and_named_where_it_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "from torch import nn\nclass Net(nn.Flatten):\n    pass\n"
    (tmp_path / "user_net.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    path = saved(importlib.import_module("user_net").Net(), tmp_path / "net.pt")
    sys.path.remove(str(tmp_path))
    del sys.modules["user_net"]
    importlib.invalidate_caches()
    assert scores(str(path), trust_pickle=True).shape == (4, 64)
    sys.path.remove(str(tmp_path))
    del sys.modules["user_net"]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    path = path.rename(elsewhere / "net.pt")
    with pytest.raises(InputError, match=r"ModuleNotFoundError: No module named 'user_net'.*beside it, or give a fact"):
        load_target(str(path), trust_pickle=True)


def test_a_torch_that_reads_state_dicts_unsafely_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(digits_net().state_dict(), tmp_path / "w.pt")
    monkeypatch.setattr(torch, "__version__", "2.9.1+cpu")
    with pytest.raises(InputError, match=r"torch 2.9.1\+cpu does not read these safely\. Update to 2.10\."):
        load_target(f"squeezenet:{path}")


def test_trust_is_refused_where_there_is_nothing_to_trust() -> None:
    with pytest.raises(InputError, match="--trust-pickle: 'cnn-digits' is no pickle"):
        load_target("cnn-digits", trust_pickle=True)
    with pytest.raises(InputError, match="trust_pickle: the model is given"):
        attack(digits_net(), digits("test"), trust_pickle=True)


def test_models_of_other_makes_are_told_how_to_go_in(tmp_path: Path) -> None:
    path = tmp_path / "net.tflite"
    path.write_bytes(b"x")
    with pytest.raises(InputError, match=r"a model of something else than torch\. Give a function"):
        load_target(str(path))


def test_a_trusted_pickle_is_attacked_by_name(tmp_path: Path) -> None:
    path = saved(digits_net(), tmp_path / "net.pt")
    result = attack(
        str(path),
        "digits:test",
        trust_pickle=True,
        attack="random",
        baseline="none",
        budget=10,
        limit=1,
        outputs="logits",
    )
    assert result.rows[0].n == 1
