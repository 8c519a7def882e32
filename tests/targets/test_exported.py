"""Programs of torch.export: sizes that are fixed in them, devices, and that loading one needs trust."""

from __future__ import annotations

import io
import logging
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.export import Dim, ExportedProgram

from pinprick.api import attack
from pinprick.errors import InputError
from pinprick.targets.exported import ExportedTarget
from pinprick.targets.loading import as_target, load_target
from pinprick.targets.passes import default_rows
from pinprick.targets.torch_target import TorchTarget
from tests.conftest import digits_net, random_images

IMAGES = random_images(5, (1, 8, 8))

pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning")


class Trap:
    """Leaves a mark where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, tuple[Path]]:
        return Path.touch, (self.mark,)


class Grown(nn.Module):
    """The net of digits for images of any size from 8 on."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images[:, 0, :2, :5].flatten(1)


class Two(nn.Module):
    """Takes images and a number each."""

    def forward(self, images: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
        return images.flatten(1)[:, :10] + shift


def exported(rows: int = 6, dynamic: Any = None, module: nn.Module | None = None, **options: Any) -> ExportedProgram:
    example = torch.rand(rows, 1, 8, 8, **options)
    return torch.export.export(module or digits_net(), (example,), dynamic_shapes=dynamic)


def saved(program: ExportedProgram, path: Path) -> str:
    torch.export.save(program, path)
    return str(path)


def plain_scores(images: Any) -> Any:
    target = TorchTarget(digits_net(), "logits", device="cpu")
    return target.scores(target.images(images))


@pytest.mark.parametrize(
    ("dynamic", "fixed", "rows"),
    [
        (None, 6, 60),
        (({0: Dim("batch")},), None, 64),
        (({0: Dim("batch", min=2, max=40)},), 40, 40),
        (({0: Dim("batch", min=2, max=500)},), 64, 64),
    ],
)
def test_it_is_asked_in_the_numbers_of_images_that_it_takes(
    dynamic: Any, fixed: int | None, rows: int, tmp_path: Path
) -> None:
    path = saved(exported(dynamic=dynamic), tmp_path / "net.pt2")
    target = load_target(path, trust_pickle=True, device="cpu")
    assert isinstance(target, ExportedTarget)
    assert (target.fixed_rows, default_rows(target), target.shape) == (fixed, rows, (1, 8, 8))
    for images in (IMAGES, IMAGES[:1], random_images(70, (1, 8, 8))):
        assert np.allclose(target.scores(target.images(images)), plain_scores(images), atol=1e-5)


def test_sizes_that_are_not_fixed_are_not_asked_for() -> None:
    program = exported(dynamic=({0: Dim("n"), 2: Dim("h", min=8), 3: Dim("w", min=8)},), module=Grown())
    target = as_target(program, device="cpu")
    assert target.shape is None
    assert target.scores(target.images(random_images(3, (1, 9, 12)))).shape == (3, 10)


def test_a_program_and_its_module_are_taken_in_python_too() -> None:
    program = exported()
    for made in (program, program.module()):
        target = as_target(made, device="cpu")
        assert isinstance(target, ExportedTarget)
        assert target.fixed_rows == 6
        assert np.allclose(target.scores(target.images(IMAGES)), plain_scores(IMAGES), atol=1e-5)
    normalised = as_target(program, normalize="half", device="cpu")
    assert isinstance(normalised, ExportedTarget)
    assert not np.allclose(normalised.scores(normalised.images(IMAGES)), plain_scores(IMAGES), atol=1e-2)
    assert normalised.identity() != as_target(program, device="cpu").identity()


def test_graphs_with_equal_weights_are_told_apart() -> None:
    class Turned(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = digits_net()

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            scores: torch.Tensor = -self.net(images)
            return scores

    class Straight(Turned):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            scores: torch.Tensor = self.net(images)
            return scores

    first, second = (as_target(exported(module=module()), device="cpu").identity() for module in (Turned, Straight))
    assert first["weights"] == second["weights"]
    assert first != second


def test_loading_one_needs_trust_since_it_reads_pickles(tmp_path: Path) -> None:
    path = Path(saved(exported(), tmp_path / "net.pt2"))
    mark = tmp_path / "ran"
    pickled = io.BytesIO()
    torch.save(Trap(mark), pickled)
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(tmp_path / "trap.pt2", "w") as new:
        for name in old.namelist():
            example = name.endswith("data/sample_inputs/model.pt")
            new.writestr(name, pickled.getvalue() if example else old.read(name))
    for name in ("net.pt2", "trap.pt2"):
        with pytest.raises(InputError, match=r"a program of torch\.export, in which pickles can run .*--trust-pickle"):
            load_target(str(tmp_path / name))
    assert not mark.exists()
    # torch says that it has tried without pickle first, in a line that does not fit its own arguments.
    logging.disable()
    try:
        with pytest.raises(InputError, match="loading it raised"):
            load_target(str(tmp_path / "trap.pt2"), trust_pickle=True)
    finally:
        logging.disable(logging.NOTSET)
    assert mark.exists(), "what is said of it is so"


def test_what_is_no_program_of_images_is_told(tmp_path: Path) -> None:
    two = torch.export.export(Two(), (torch.rand(6, 1, 8, 8), torch.rand(6, 1)))
    with pytest.raises(InputError, match="a program with 2 inputs"):
        as_target(two)
    flat = torch.export.export(nn.Linear(64, 10), (torch.rand(6, 64),))
    with pytest.raises(InputError, match=r"takes torch\.float32 of 2 dimensions"):
        as_target(flat)
    with zipfile.ZipFile(tmp_path / "compiled.pt2", "w") as archive:
        archive.writestr("x/archive_format", "pt2")
        archive.writestr("x/data/aotinductor/model/model.so", "")
    with pytest.raises(InputError, match="a package of machine code"):
        load_target(str(tmp_path / "compiled.pt2"), trust_pickle=True)


def test_half_precision_goes_in_as_such() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).to(torch.bfloat16)
    target = as_target(exported(module=module, dtype=torch.bfloat16), device="cpu", normalize="half")
    assert isinstance(target, ExportedTarget)
    assert target.images(IMAGES).dtype == torch.bfloat16
    assert target.scores(target.images(IMAGES)).shape == (5, 10)


def test_one_is_attacked_by_name(tmp_path: Path) -> None:
    path = saved(exported(rows=10), tmp_path / "net.pt2")
    options: dict[str, Any] = {"limit": 3, "budget": 60, "baseline": "none", "outputs": "logits", "device": "cpu"}
    found = attack(path, "digits:test", trust_pickle=True, **options).rows[0]
    own = attack(digits_net(), "digits:test", engine="dense", batch_size=60, **options).rows[0]
    assert (found.n, found.failed) == (own.n, own.failed) == (3, 0)
    with pytest.raises(InputError, match="--precision bf16"):
        attack(path, "digits:test", trust_pickle=True, precision="bf16", **options)
    with pytest.raises(InputError, match="incremental"):
        attack(path, "digits:test", trust_pickle=True, engine="incremental", **options)
