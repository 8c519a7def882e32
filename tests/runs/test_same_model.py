"""What a continued run is held against: the model, the images and the folder it was begun with."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from pinprick.data.digits import digits
from pinprick.data.image_set import ImageSet
from pinprick.errors import InputError
from pinprick.runs.clean import CLEAN_SCHEMA
from pinprick.runs.result import Listener
from pinprick.runs.same_model import check_clean, merged
from pinprick.targets.callable_target import CallableTarget
from tests.runs.conftest import small_run
from tests.runs.test_failures import is_edited, plain, some_digits


def offset(images: torch.Tensor) -> torch.Tensor:
    """Each score far from 0, so that a relative tolerance would take any change for none."""
    return plain(images) + 1000


def others(images: torch.Tensor) -> torch.Tensor:
    """As :func:`plain` on noise, another on digits (whose corners are black)."""
    digit = images[:, :, 0, 0].flatten() == 0
    return torch.where(digit[:, None], plain(images) * 1.01, plain(images))


CHANGES: dict[str, tuple[Callable[[torch.Tensor], torch.Tensor], Callable[[torch.Tensor], torch.Tensor]]] = {
    "a common offset, a little more of one class": (offset, lambda x: offset(x) + 0.05 * torch.eye(10)[3]),
    "another offset": (offset, lambda x: plain(x) + 1001),
    "natural images only": (plain, others),
    "a class over the 32nd": (
        lambda x: torch.cat([plain(x), torch.zeros(len(x), 30)], 1),
        lambda x: torch.cat([plain(x), torch.zeros(len(x), 29), torch.full((len(x), 1), 0.5)], 1),
    ),
    "another number of classes": (plain, lambda x: plain(x)[:, :9]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_model_that_has_changed_is_refused_and_what_is_stored_stays(change: str, out: Path) -> None:
    before, after = CHANGES[change]
    images = some_digits(12)
    small_run(target=CallableTarget(before, "logits", name="f"), images=images, out=out, limit=3, baseline="none")
    table = (out / "outcomes.parquet").read_bytes()
    with pytest.raises(InputError, match=r"answers otherwise|9 classes"):
        small_run(target=CallableTarget(after, "logits", name="f"), images=images, out=out, limit=5, baseline="none")
    assert (out / "outcomes.parquet").read_bytes() == table
    again = small_run(
        target=CallableTarget(before, "logits", name="f"), images=images, out=out, limit=3, baseline="none"
    )
    assert len(again.table) == 3


def test_a_model_of_labels_that_has_changed_is_refused(out: Path) -> None:
    images = some_digits(12)

    def labels(batch: torch.Tensor) -> torch.Tensor:
        return plain(batch).argmax(1)

    def swapped(batch: torch.Tensor) -> torch.Tensor:
        found = labels(batch)
        return torch.where(found == 4, 5, found)

    small_run(target=CallableTarget(labels, name="f"), images=images, out=out, limit=12, attack="random")
    with pytest.raises(InputError, match="answers otherwise"):
        small_run(target=CallableTarget(swapped, name="f"), images=images, out=out, limit=12, attack="random")


def test_the_scores_of_the_unchanged_images_are_stored_and_a_smaller_limit_takes_none_away(out: Path) -> None:
    small_run(out=out, limit=8)
    whole = pq.read_table(out / "clean.parquet")
    manifest, summary = json.loads((out / "manifest.json").read_text()), (out / "summary.json").read_text()
    assert len(whole) == manifest["clean"]["images"]
    assert sum(row["label"] == row["predicted"] for row in whole.to_pylist()) == manifest["clean"]["attacked"] == 8
    small_run(out=out, limit=2)
    assert sorted(pq.read_table(out / "clean.parquet")["image"].to_pylist()) == sorted(whole["image"].to_pylist())
    assert json.loads((out / "manifest.json").read_text()) == manifest
    assert (out / "summary.json").read_text() == summary
    small_run(out=out, limit=10)
    assert json.loads((out / "manifest.json").read_text())["clean"]["attacked"] == 10


def rows(*found: tuple[str, str, list[float] | None]) -> pa.Table:
    """Clean scores by image, digest and scores."""
    return pa.Table.from_pylist(
        [
            {
                "image": image,
                "image_digest": digest,
                "label": 0,
                "predicted": None if scores is None else int(np.argmax(scores)),
                "scores": scores,
            }
            for image, digest, scores in found
        ],
        schema=CLEAN_SCHEMA,
    )


def test_clean_scores_are_compared_by_image() -> None:
    old = rows(("a", "1", [0.0, 1.0]), ("b", "2", [1000.0, 1001.0]), ("c", "3", None))
    check_clean("run", old, rows(("b", "2", [1000.0, 1001.00005]), ("d", "4", [1.0, 2.0]), ("c", "3", [0, 1])), 1e-4)
    with pytest.raises(InputError, match="image 'b': class 1 was foremost, now 1"):
        check_clean("run", old, rows(("b", "2", [1000.001, 1001.0])), 1e-4)
    with pytest.raises(InputError, match="image 'a' has changed"):
        check_clean("run", old, rows(("a", "9", [0.0, 1.0])), 1e-4)
    check_clean("run", rows(("a", "1", [0.0, 1.0])), rows(("a", "1", [0.0, 1.0, 0.0])), 0)
    assert merged(old, rows(("b", "2", [5.0, 6.0])))["image"].to_pylist() == ["b", "a", "c"]


def test_images_whose_size_changes_between_two_passes_are_refused() -> None:
    small, large = np.zeros((64, 1, 8, 8), np.uint8), np.zeros((64, 1, 12, 12), np.uint8)
    images = ImageSet(
        name="mixed",
        names=tuple(f"{number:03d}.png" for number in range(128)),
        labels=np.zeros(128, np.int64),
        load=lambda index: (small if index < 64 else large)[index % 64],
    )

    def first(batch: torch.Tensor) -> torch.Tensor:
        """Right on the larger images only, so that the smaller ones are scored and passed over."""
        right = torch.full((len(batch),), float(batch.shape[-1] == 12))
        return torch.stack([right, 1 - right, torch.full_like(right, 0.5)], 1)

    with pytest.raises(InputError, match=r"'064\.png': shape 1 x 12 x 12 where '000\.png' has 1 x 8 x 8"):
        small_run(target=CallableTarget(first, "logits"), images=images, first=10, limit=None)


def test_only_failed_units_that_are_asked_for_are_tried_again(out: Path) -> None:
    images = some_digits(12)
    scale = 1.0

    def moody(batch: torch.Tensor) -> torch.Tensor:
        scores = plain(batch)
        for number in range(12):
            scores[is_edited(batch, images.image(number))] *= scale
        return scores

    def again(**fields: Any) -> int:
        target = CallableTarget(moody, "logits", name="moody")
        return len(small_run(target=target, images=images, baseline="none", out=out, **fields).table)

    scale = float("nan")
    assert again(limit=6) == 6
    scale = 1.0
    again(limit=2, retry_failed=True)
    stored = pq.read_table(out / "outcomes.parquet").to_pylist()
    assert len(stored) == 6
    assert sum(row["status"] == "failed" for row in stored) == 4


@pytest.mark.parametrize(("right", "warned"), [(0.9, False), (0.65, False), (0.3, True)])
def test_a_classifier_of_two_classes_is_warned_of_under_a_rate_that_it_can_pass(right: float, warned: bool) -> None:
    images = digits("test").stack(range(40))
    labels = np.arange(40) % 2
    wrong = np.arange(40) >= round(40 * right)
    shown = {image.tobytes(): int(label ^ bad) for image, label, bad in zip(images, labels, wrong, strict=True)}

    def binary(batch: torch.Tensor) -> torch.Tensor:
        keys = (batch * 255).round().to(torch.uint8).numpy()
        return torch.eye(2)[torch.tensor([shown.get(key.tobytes(), 0) for key in keys])]

    said: list[str] = []
    small_run(
        target=CallableTarget(binary, "probabilities"),
        images=ImageSet.from_arrays(images, labels),
        first=40,
        limit=None,
        attack="random",
        budget=2,
        listener=Listener(said.append),
    )
    assert any("for 2 classes" in line for line in said) == warned


def test_a_first_attempt_that_fails_leaves_nothing_in_the_way(out: Path) -> None:
    images = some_digits(12)

    def noise_only(batch: torch.Tensor) -> torch.Tensor:
        scores = plain(batch)
        scores[batch[:, 0, 0, 0] == 0] = float("nan")
        return scores

    with pytest.raises(InputError, match=r"failed on each of the first 12 unchanged images.*--batch-size 1"):
        small_run(target=CallableTarget(noise_only, "logits", classes=10), images=images, out=out)
    with pytest.raises(InputError, match="64 pixels"):
        small_run(images=images, out=out, pixels=65)
    small_run(images=images, out=out, limit=2, baseline="none")
    assert len(pq.read_table(out / "outcomes.parquet")) == 2


def test_a_run_without_any_outcome_gives_its_folder_to_another(out: Path) -> None:
    small_run(out=out, limit=2, images=some_digits(12), baseline="none", seed=1)
    (out / "outcomes.parquet").unlink()
    said: list[str] = []
    small_run(out=out, limit=2, images=some_digits(12), baseline="none", seed=2, listener=Listener(said.append))
    assert any("begun anew" in line for line in said)
    assert json.loads((out / "manifest.json").read_text())["given"]["seed"] == 2


def test_a_model_of_labels_meets_classes_that_its_set_does_not_hold_and_is_used_again(out: Path) -> None:
    images = digits("test")
    assert images.labels is not None
    few = np.flatnonzero(images.labels < 4)[:12]
    target = CallableTarget(lambda x: plain(x).argmax(1), "labels")
    result = small_run(
        target=target,
        images=ImageSet.from_arrays(images.stack(few), images.labels[few]),
        attack="random",
        pixels=20,
        budget=100,
        limit=12,
        out=out,
    )
    assert result.failed == 0
    assert max(row["predicted_after"] for row in result.table.to_pylist()) >= 4
    whole = small_run(target=target, images=images, attack="random", budget=20, limit=20)
    assert whole.failed == 0
    assert max(whole.table["label"].to_pylist()) >= 4
