"""Things that go wrong in the middle: only the guilty units pay, and nothing stored is lost."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pinprick.data.digits import digits
from pinprick.data.image_set import ImageSet
from pinprick.errors import InputError, RunStoppedError
from pinprick.runs.result import Listener
from pinprick.runs.store import Store, read_outcomes
from pinprick.targets.callable_target import CallableTarget
from tests.conftest import digits_net
from tests.runs.conftest import small_run, small_spec


def plain(images: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        scores: torch.Tensor = digits_net()(images)
    return scores


def is_edited(images: torch.Tensor, image: np.ndarray) -> torch.Tensor:
    """Rows that are ``image`` with one pixel changed."""
    base = torch.from_numpy(image).float() / 255
    return (images != base).flatten(1).sum(1) == 1


def some_digits(n: int = 12) -> ImageSet:
    images = digits("test")
    assert images.labels is not None
    return ImageSet.from_arrays(images.stack(range(n)), images.labels[:n], names=images.names[:n])


@pytest.mark.parametrize("how", ["nan", "raise"])
def test_only_the_units_of_the_guilty_rows_fail_and_the_others_are_as_ever(how: str) -> None:
    images = some_digits()
    guilty = images.image(3)

    def touchy(batch: torch.Tensor) -> torch.Tensor:
        bad = is_edited(batch, guilty)
        if how == "raise" and bad.any():
            raise ValueError("cannot look at this")
        scores = plain(batch)
        scores[bad] = float("nan")
        return scores

    fine = small_run(target=CallableTarget(plain, "logits"), images=images, limit=12, baseline="none")
    hurt = small_run(target=CallableTarget(touchy, "logits"), images=images, limit=12, baseline="none")
    failed = {row["image"]: row for row in hurt.table.to_pylist() if row["status"] == "failed"}
    assert set(failed) == {images.names[3]}
    reason = failed[images.names[3]]["reason"]
    assert ("cannot look at this" in reason) if how == "raise" else ("not finite" in reason)
    others = [row for row in fine.table.to_pylist() if row["image"] != images.names[3]]
    assert [row for row in hurt.table.to_pylist() if row["status"] != "failed"] == others
    assert hurt.rows[0].failed == 1
    assert hurt.rows[0].n == fine.rows[0].n


def test_failed_units_are_final_unless_they_are_to_be_tried_again(out: Path) -> None:
    images = some_digits()
    broken = True

    def moody(batch: torch.Tensor) -> torch.Tensor:
        if broken and is_edited(batch, images.image(3)).any():
            raise ValueError("not today")
        return plain(batch)

    def again(**fields: Any) -> list[str]:
        target = CallableTarget(moody, "logits", name="moody")
        result = small_run(target=target, images=images, limit=12, baseline="none", out=out, **fields)
        return [row["image"] for row in result.table.to_pylist() if row["status"] == "failed"]

    assert again() == [images.names[3]]
    broken = False
    assert again() == [images.names[3]]
    assert again(retry_failed=True) == []


def test_a_run_whose_first_units_all_fail_stops_with_the_reason(out: Path) -> None:
    calls = 0

    def falls_over(batch: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if calls > 12:
            raise RuntimeError("lost my weights")
        return plain(batch)

    with pytest.raises(RunStoppedError, match=r"first 20 units all failed.*lost my weights"):
        small_run(target=CallableTarget(falls_over, "logits", name="f"), limit=60, out=out)
    assert len(read_outcomes(out)) == 20
    with pytest.raises(RunStoppedError, match="--retry-failed"):
        small_run(target=CallableTarget(plain, "logits", name="f"), limit=60, out=out)


def test_an_image_that_fails_unchanged_is_not_attacked_and_is_told() -> None:
    images = some_digits()
    base = torch.from_numpy(images.image(3)).float() / 255

    def touchy(batch: torch.Tensor) -> torch.Tensor:
        scores = plain(batch)
        scores[(batch == base).flatten(1).all(1)] = float("inf")
        return scores

    said: list[str] = []
    result = small_run(
        target=CallableTarget(touchy, "logits"),
        images=images,
        limit=12,
        baseline="none",
        listener=Listener(said.append),
    )
    assert images.names[3] not in result.table["image"].to_pylist()
    assert any("1 unchanged image got no scores" in line for line in said)


def test_when_memory_is_short_at_the_start_the_rows_are_halved(out: Path) -> None:
    def small_memory(batch: torch.Tensor) -> torch.Tensor:
        if len(batch) > 40:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return plain(batch)

    said: list[str] = []
    small_run(target=CallableTarget(small_memory, "logits"), out=out, listener=Listener(said.append), limit=2)
    assert json.loads((out / "manifest.json").read_text())["passes"]["rows"] == 32
    assert any("32 rows a pass in place of 64" in line for line in said)


def test_when_memory_runs_out_later_every_unit_starts_again_under_half_the_rows(out: Path, tmp_path: Path) -> None:
    calls = 0

    def leaking(batch: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if calls > 40 and len(batch) > 32:
            raise MemoryError
        return plain(batch)

    said: list[str] = []
    result = small_run(target=CallableTarget(leaking, "logits", name="net"), out=out, listener=Listener(said.append))
    assert any("memory ran out at 64 rows" in line and "32" in line for line in said)
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["passes"]["rows"] == 32
    assert manifest["events"][0]["event"] == "memory ran out"
    assert (out / "rows-64").is_dir()
    whole = small_run(target=CallableTarget(plain, "logits", name="net"), out=tmp_path / "whole", batch_size=32)
    assert result.table.equals(whole.table)


def test_a_folder_of_another_run_is_refused_and_left_alone(out: Path) -> None:
    small_run(out=out, limit=2)
    before = (out / "outcomes.parquet").read_bytes()
    for change in ({"seed": 5}, {"budget": 500}, {"pixels": (1, 3)}, {"goal": "targeted"}, {"stop": "paper"}):
        with pytest.raises(InputError, match="holds another run"):
            small_run(out=out, **change)
    with pytest.raises(InputError, match="the images' fingerprint was"):
        small_run(out=out, images=some_digits())
    assert (out / "outcomes.parquet").read_bytes() == before


def test_a_newer_schema_and_a_broken_manifest_are_refused(out: Path) -> None:
    small_run(out=out, limit=2)
    manifest = json.loads((out / "manifest.json").read_text())
    (out / "manifest.json").write_text(json.dumps(manifest | {"schema_version": 99}))
    with pytest.raises(InputError, match="schema version is 99"):
        small_run(out=out, limit=2)
    (out / "manifest.json").write_text("{")
    with pytest.raises(InputError, match="cannot be read"):
        small_run(out=out, limit=2)


def test_a_second_writer_is_refused(out: Path) -> None:
    with Store(out), pytest.raises(InputError, match="another run is writing"):
        small_run(out=out)
    small_run(out=out, limit=2)


def test_pixels_beyond_the_image_and_labels_beyond_the_model_are_refused() -> None:
    with pytest.raises(InputError, match="64 pixels"):
        small_run(pixels=65)
    images = digits("test")
    assert images.labels is not None
    odd = ImageSet.from_arrays(images.stack(range(10)), images.labels[:10] + 7)
    with pytest.raises(InputError, match="10 classes"):
        small_run(images=odd)


def test_a_budget_below_the_population_is_refused_for_the_evolution_only() -> None:
    with pytest.raises(InputError, match="401 or more"):
        small_spec(budget=400)
    assert small_spec(budget=401).questions() == 401
    assert small_spec(attack="random", budget=2).questions() == 2
    with pytest.raises(InputError, match="2 or more"):
        small_spec(attack="random", budget=1)


def test_low_clean_accuracy_is_a_warning_that_names_the_usual_causes() -> None:
    images = digits("test")
    assert images.labels is not None
    shifted = ImageSet.from_arrays(images.stack(range(60)), (images.labels[:60] + 1) % 10)
    said: list[str] = []
    small_run(images=shifted, listener=Listener(said.append))
    warning = next(line for line in said if "under twice chance" in line)
    assert all(cause in warning for cause in ("classes", "channels", "normalisation"))
    assert any(line.startswith("only ") and line.endswith("are classified right; 8 were asked for") for line in said)


def test_a_clean_accuracy_under_a_half_is_told_where_it_may_surprise() -> None:
    images = digits("test")
    assert images.labels is not None
    # About two of five labels stay as they are.
    labels = (images.labels[:60] + (np.arange(60) % 5 >= 2)) % 10
    said: list[str] = []
    given: dict[str, Any] = {"attack": "random", "budget": 2, "limit": 60, "listener": Listener(said.append)}
    small_run(images=ImageSet.from_arrays(images.stack(range(60)), labels), **given)
    (hint,) = (line for line in said if "clean accuracy" in line)
    assert re.match(r"clean accuracy is low, (3|4)\d\.\d%\. If you expected more, .*--normalize", hint)
    said.clear()
    small_run(images=ImageSet.from_arrays(images.stack(range(60)), images.labels[:60]), **given)
    few = ImageSet.from_arrays(images.stack(range(2, 7)), labels[2:7])
    small_run(images=few, **given)
    assert not any("accuracy is low" in line for line in said)


def test_how_many_were_asked_for_is_said_of_those_that_were() -> None:
    one = ImageSet.from_arrays(digits("test").stack([0]), None)
    said: list[str] = []
    given: dict[str, Any] = {"images": one, "attack": "random", "budget": 2, "labels": "predicted"}
    given["listener"] = Listener(said.append)
    small_run(limit=None, **given)
    assert not any("asked for" in line for line in said)
    small_run(limit=None, first=2, **given)
    assert "only 1 of 1 image is classified right; 2 were asked for" in said


@pytest.mark.parametrize("size", [(7, 40), (8, 513)])
def test_images_outside_of_8_to_512_pixels_are_refused(size: tuple[int, int]) -> None:
    images = ImageSet.from_arrays(np.zeros((2, 1, *size), np.uint8), [0, 1])
    with pytest.raises(InputError, match="8 x 8 to 512 x 512"):
        small_run(target=CallableTarget(lambda x: x.flatten(1)[:, :10], "logits"), images=images)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 512, 512), (3, 8, 512), (1, 31, 17)])
def test_gray_and_rgb_square_or_not_8_to_512(shape: tuple[int, int, int]) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, *shape), dtype=np.uint8)

    def corner(batch: torch.Tensor) -> torch.Tensor:
        """Fooled by a bright pixel on the last row or column."""
        edge = torch.maximum(batch[..., -1, :].amax(dim=(1, 2)), batch[..., -1].amax(dim=(1, 2)))
        return torch.stack([torch.full_like(edge, 0.7), edge], dim=1)

    images[..., -1, :] = images[..., -1] = 0
    result = small_run(
        target=CallableTarget(corner, "logits"),
        images=ImageSet.from_arrays(images, [0, 0]),
        baseline="none",
        batch_size=16,
        limit=2,
    )
    for row in result.table.to_pylist():
        assert row["status"] in ("fooled", "held")
        if row["status"] == "fooled":
            assert row["rows"][0] == shape[1] - 1 or row["columns"][0] == shape[2] - 1
            assert row["changed"] == 1


def test_a_model_of_labels_only_is_attacked_at_random_and_refuses_what_needs_scores() -> None:
    def labels(batch: torch.Tensor) -> torch.Tensor:
        return plain(batch).argmax(1)

    images = some_digits(40)
    with pytest.raises(InputError, match="labels only"):
        small_run(target=CallableTarget(labels), images=images)
    only = small_run(target=CallableTarget(labels), images=images, attack="random", pixels=5)
    full = small_run(target=CallableTarget(plain), images=images, attack="random", pixels=5)
    assert only.rows[0].successes == full.rows[0].successes > 0
    assert only.table["status"].equals(full.table["status"])


def test_a_model_that_ends_python_fails_and_the_run_does_not() -> None:
    images = some_digits()

    def leaves(batch: torch.Tensor) -> torch.Tensor:
        if is_edited(batch, images.image(3)).any():
            raise SystemExit(0)
        return plain(batch)

    result = small_run(target=CallableTarget(leaves, "logits"), images=images, limit=12, baseline="none")
    (failed,) = [row for row in result.table.to_pylist() if row["status"] == "failed"]
    assert failed["image"] == images.names[3]
    assert failed["reason"] == "SystemExit: 0"


@pytest.mark.parametrize("place", [0, 5, 11])
def test_one_guilty_image_costs_itself_and_no_other_wherever_it_stands(place: int) -> None:
    images = some_digits()
    guilty = torch.from_numpy(images.image(place)).float() / 255

    def touchy(batch: torch.Tensor) -> torch.Tensor:
        if (batch == guilty).flatten(1).all(1).any():
            raise ValueError("not this one")
        return plain(batch)

    clean = small_run(target=CallableTarget(plain), images=images, first=12, limit=None, baseline="none")
    result = small_run(target=CallableTarget(touchy), images=images, first=12, limit=None, baseline="none")
    wanted = set(clean.table["image"].to_pylist()) - {images.names[place]}
    assert set(result.table["image"].to_pylist()) == wanted
    assert result.images == clean.images


def test_a_model_that_changed_behind_its_name_is_refused(out: Path) -> None:
    scale = 1.0

    def scaled(batch: torch.Tensor) -> torch.Tensor:
        return plain(batch) * scale

    def again() -> None:
        small_run(target=CallableTarget(scaled, "logits"), out=out, limit=3, baseline="none")

    again()
    scale = 1.0 + 1e-6
    again()
    scale = 0.8
    with pytest.raises(InputError, match="answers otherwise"):
        again()


def test_outputs_that_are_declared_wrong_are_refused_or_warned_of() -> None:
    with pytest.raises(InputError, match="declared probabilities, and values go from"):
        small_run(target=CallableTarget(plain, "probabilities"))
    said: list[str] = []
    small_run(target=CallableTarget(lambda x: plain(x).softmax(1), "logits"), limit=2, listener=Listener(said.append))
    assert any("look like probabilities" in line for line in said)
