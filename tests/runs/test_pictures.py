"""PNG files of a run: what was scored, whole, and a table that covers all of them."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pinprick.data.digits import digits
from pinprick.errors import InputError
from pinprick.runs.result import RunResult
from pinprick.runs.store import read_outcomes
from pinprick.targets.torch_target import TorchTarget
from tests.runs.conftest import small_run


def pictured(**fields: Any) -> RunResult:
    """A run that fools most of its images."""
    return small_run(pixels=5, baseline="none", **fields)


def listed(out: Path) -> dict[str, dict[str, Any]]:
    """The lines of ``metadata.jsonl`` by unit key."""
    lines = [json.loads(line) for line in (out / "images" / "metadata.jsonl").read_text().splitlines()]
    found = {line["key"]: line for line in lines}
    assert len(found) == len(lines)
    return found


def fooled(out: Path) -> dict[str, dict[str, Any]]:
    return {row["key"]: row for row in read_outcomes(out).to_pylist() if row["status"] == "fooled"}


def contents(out: Path) -> dict[str, bytes]:
    folder = out / "images"
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_saved_pictures_are_what_was_scored(out: Path, target: TorchTarget) -> None:
    """Each stored example, read again from its PNG and scored again, is what the table says."""
    small_run(out=out, pixels=(1, 3), limit=6, save_images=True)
    rows = fooled(out)
    lines = listed(out)
    assert lines.keys() == rows.keys()
    assert rows
    originals = {name: digits("test").image(i) for i, name in enumerate(digits("test").names)}
    for key, line in lines.items():
        row = rows[key]
        fooling = np.asarray(Image.open(out / "images" / line["file_name"]))[None]
        original = np.asarray(Image.open(out / "images" / line["original"]))[None]
        assert np.array_equal(original, originals[row["image"]])
        assert int((fooling != original).any(axis=0).sum()) == row["changed"] <= row["pixels"]
        scores = target.scores(target.images(np.repeat(fooling[None], 64, axis=0)))[0]
        assert np.array_equal(scores, np.array(row["scores_after"], np.float32))
        assert scores.argmax() == row["predicted_after"] == line["predicted"] != row["label"] == line["label"]


def test_a_smaller_limit_afterwards_takes_no_picture_away(out: Path, tmp_path: Path) -> None:
    pictured(out=out, limit=8, save_images=True)
    before = contents(out)
    pictured(out=out, limit=2, save_images=True)
    assert contents(out) == before
    # Nor does a run without pictures in between, whose own are not listed.
    pictured(out=out, limit=12)
    pictured(out=out, limit=2, save_images=True)
    assert contents(out) == before
    assert listed(out).keys() < fooled(out).keys()
    pictured(out=tmp_path / "whole", limit=12, save_images=True)
    pictured(out=out, limit=12, save_images=True)
    assert contents(out) == contents(tmp_path / "whole")


def test_only_pictures_that_are_there_are_listed(out: Path) -> None:
    pictured(out=out, limit=8, save_images=True)
    lines = listed(out)
    small = {row["key"] for row in pictured(limit=2).table.to_pylist()}
    gone, without_original, foreign = [line for key, line in lines.items() if key not in small][:3]
    (out / "images" / gone["file_name"]).unlink()
    (out / "images" / without_original["original"]).unlink()
    Image.new("L", (8, 8)).save(out / "images" / foreign["original"])
    pictured(out=out, limit=2, save_images=True)
    lost = {gone["key"]} | {
        key for key, line in lines.items() if line["original"] in (without_original["original"], foreign["original"])
    }
    assert listed(out).keys() == lines.keys() - lost
    pictured(out=out, limit=8, save_images=True)
    assert listed(out) == lines


@pytest.mark.parametrize("limit", [2, 8])
def test_a_picture_that_is_not_what_the_table_says_is_written_anew(limit: int, out: Path) -> None:
    pictured(out=out, limit=8, save_images=True)
    before = contents(out)
    for key, line in listed(out).items():
        path = out / "images" / line["file_name"]
        half = path.read_bytes()[:40] if key < "8" else (out / "images" / line["original"]).read_bytes()
        path.write_bytes(half)
    pictured(out=out, limit=limit, save_images=True)
    assert contents(out) == before


def test_a_disk_that_is_full_leaves_no_half_picture(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictured(out=out, limit=4)

    def full(_file: int) -> None:
        if list(out.rglob("*.png.part")):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match=r"original\.png: the disk is full"):
        pictured(out=out, limit=4, save_images=True)
    assert contents(out) == {}
    monkeypatch.undo()
    pictured(out=out, limit=4, save_images=True)
    assert listed(out).keys() == fooled(out).keys()


def test_a_file_in_the_place_of_the_pictures_is_told(out: Path) -> None:
    pictured(out=out, limit=2)
    (out / "images").write_text("mine")
    with pytest.raises(InputError, match=r"images.*: cannot be written to"):
        pictured(out=out, limit=4, save_images=True)
    assert (out / "images").read_text() == "mine"
