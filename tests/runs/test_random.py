"""Random classifiers: several passes decide, what they say is stored and measured, and no budget is exceeded."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import nn
from typer.testing import CliRunner

from pinprick.attacks.base import DRAWS
from pinprick.attacks.registry import ATTACKS, make_attack
from pinprick.attacks.search_loop import StopRule, _Loop, _Slot
from pinprick.cli.app import app
from pinprick.data.digits import digits
from pinprick.data.image_set import ImageSet
from pinprick.edits import Edits
from pinprick.errors import BudgetError, InputError
from pinprick.metrics.agreement import agreement
from pinprick.report.page import write_report
from pinprick.runs.measures import measures
from pinprick.runs.result import Listener
from pinprick.runs.sound import check_values
from pinprick.runs.store import read_manifest, read_outcomes
from pinprick.targets.base import Target
from pinprick.targets.callable_target import CallableTarget
from pinprick.targets.meter import Meter
from pinprick.targets.torch_target import TorchTarget
from pinprick.verify import decided
from tests.conftest import digits_net, digits_target, make_unit, random_images
from tests.metrics.tables import outcome, outcomes
from tests.runs.conftest import small_run


def noisy(spread: float = 2.0, *, deterministic: bool = True) -> CallableTarget:
    """The digits net with noise on its logits; it does not say that it is random unless it is told to."""
    source, net = torch.Generator().manual_seed(0), digits_net()

    def score(images: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            scores: torch.Tensor = net(images)
            return scores + spread * torch.randn(len(images), 10, generator=source)

    return CallableTarget(score, "logits", name="noisy", classes=10, deterministic=deterministic)


class Dropout(nn.Module):
    """The digits net with dropout left on, in evaluation mode too."""

    def __init__(self) -> None:
        super().__init__()
        self.net = digits_net()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Scores of images with a fifth of the pixels gone."""
        scores: torch.Tensor = self.net(nn.functional.dropout(images, 0.2, training=True))
        return scores


def random_run(target: Target | None = None, **fields: Any) -> Any:
    usual: dict[str, Any] = {"attack": "few-pixel", "budget": 200, "limit": 6, "pixels": (2,)}
    return small_run(target=target or noisy(), **(usual | fields))


def check_rows(rows: list[dict[str, Any]], draws: int, budget: int) -> None:
    for row in rows:
        assert row["asked"] <= budget
        assert row["draws"] == draws
        assert 0 <= row["agree"] <= draws
        assert (row["status"] == "fooled") == (2 * row["agree"] > draws)
        # The scores that are shown are of a pass that says what most of them do.
        assert (row["predicted_after"] != row["label"]) == (row["status"] == "fooled")


@pytest.mark.parametrize("make", [noisy, lambda: TorchTarget(Dropout(), "logits", name="dropout", classes=10)])
def test_a_random_model_is_found_out_and_several_passes_decide(make: Any, tmp_path: Path) -> None:
    said: list[str] = []
    result = random_run(make(), out=tmp_path / "run", listener=Listener(say=said.append))
    assert any("is random: scores change by" in line and f"{DRAWS} passes decide" in line for line in said)
    assert not any("mixes images" in line for line in said)
    check_rows(result.table.to_pylist(), DRAWS, 200)
    manifest = read_manifest(tmp_path / "run")
    assert manifest is not None
    assert manifest["what"]["draws"] == DRAWS
    assert not any(manifest["passes"]["incremental"].values())


def test_what_a_target_says_of_itself_and_what_its_user_says_counts() -> None:
    said: list[str] = []
    result = random_run(noisy(deterministic=False), listener=Listener(say=said.append))
    assert any("by its own account" in line for line in said)
    check_rows(result.table.to_pylist(), DRAWS, 200)
    check_rows(random_run(noisy(deterministic=False), draws=3).table.to_pylist(), 3, 200)
    check_rows(random_run(digits_target(), draws=4).table.to_pylist(), 4, 200)
    single = random_run(noisy(), draws=1).table.to_pylist()
    assert {(row["draws"], row["agree"]) for row in single} == {(1, None)}


def test_of_a_deterministic_target_nothing_changes_but_the_cost(tmp_path: Path) -> None:
    plain = small_run(out=tmp_path / "a", attack="few-pixel", limit=4, baseline="none")
    once = small_run(out=tmp_path / "b", attack="few-pixel", limit=4, baseline="none", draws=1)
    assert (tmp_path / "a" / "outcomes.parquet").read_bytes() == (tmp_path / "b" / "outcomes.parquet").read_bytes()
    manifest = read_manifest(tmp_path / "a")
    assert manifest is not None
    assert "draws" not in manifest["what"]
    several = small_run(attack="few-pixel", limit=4, baseline="none", draws=5)
    same = ("status", "first_hit", "changed", "rows", "columns", "colours", "scores_after")
    for one, five in zip(plain.table.to_pylist(), several.table.to_pylist(), strict=True):
        assert [one[name] for name in same] == [five[name] for name in same]
        # A unit that held stops where the questions that verify begin.
        assert five["asked"] - one["asked"] == (4 if one["status"] == "fooled" else 0)
        assert five["agree"] == (5 if one["status"] == "fooled" else 0)
    assert plain.table == once.table


@given(st.integers(0, 10**6), st.integers(2, 12), st.integers(1, 60), st.sampled_from(sorted(ATTACKS)))
@settings(max_examples=25, deadline=None)
def test_passes_add_up_and_no_budget_is_exceeded(seed: int, draws: int, more: int, name: str) -> None:
    if name == "cma-es":
        pytest.importorskip("cma")
    rng = np.random.default_rng(seed)
    asked = 0

    def chance(images: torch.Tensor) -> torch.Tensor:
        nonlocal asked
        asked += len(images)
        return torch.from_numpy(rng.normal(size=(len(images), 4))) + torch.tensor([rng.uniform(-1, 3), 0, 0, 0])

    target = CallableTarget(chance, "logits", classes=4, deterministic=False)
    attack = make_attack(name, settings={"population": 4} if name == "one-pixel" else None)
    budget = attack.least_budget() + draws - 1 + more
    found = attack(target, random_images(3, (1, 8, 8)), labels=[0] * 3, pixels=2, budget=budget, rows=1, draws=draws)
    for one in found:
        assert one.asked <= budget
        assert one.answered == one.asked
        if one.status == "failed":
            assert one.reason is not None
            assert "no pixel" in one.reason
            continue
        assert (one.draws, one.status == "fooled") == (draws, 2 * (one.agree or 0) > draws)
    # Every question is a row, and there are no others but those of the unchanged images and of the form of the answer.
    assert sum(one.asked for one in found) <= asked


def test_the_majority_decides_and_a_pass_of_its_side_stands_for_all() -> None:
    unit = make_unit(digits_target(), digits("test").image(0), label=0)
    plain = digits_target().probabilities
    away, stay = np.eye(10)[3] * 5, np.eye(10)[0] * 5
    for votes, fooled in (([1, 1, 0], True), ([1, 0, 0], False), ([0, 1], False), ([0, 1, 1, 1], True)):
        rows = np.stack([away if vote else stay for vote in votes])
        scores, agree = decided(unit, rows, plain)
        assert agree == sum(votes)
        assert (int(scores.argmax()) == 3) == fooled


def test_a_meter_keeps_the_questions_that_verify() -> None:
    target = digits_target()
    unit = make_unit(target, digits("test").image(0))
    with pytest.raises(BudgetError, match="6 is the least"):
        Meter(target, 5, 64, draws=5)
    meter = Meter(target, 12, 64, draws=5)
    handle = meter.open(unit)
    assert meter.left(handle) == 7
    edits = make_edits()
    (rows,) = meter.verify(edits, np.array([handle]))
    assert rows.shape == (5, 10)
    assert meter.left(handle) == 2
    meter.verify(edits, np.array([handle]))
    with pytest.raises(BudgetError, match="no question left"):
        meter.verify(edits, np.array([handle]))
    assert meter.close(handle) == (10, 10)


def make_edits() -> Any:
    from tests.targets.test_meter import some_edits

    return some_edits(1, 0, d=1)


def test_unchanged_images_are_right_where_most_passes_are() -> None:
    turn = 0

    def wavering(images: torch.Tensor) -> torch.Tensor:
        # Images whose first pixel is white are right in two of three passes, others in one.
        nonlocal turn
        rows = []
        for image in images:
            turn += 1
            right = (turn % 3 != 0) == bool(image[0, 0, 0] == 1)
            rows.append([1.0, 0.0, 0.0] if right else [0.0, 1.0, 0.0])
        return torch.tensor(rows)

    images = np.zeros((4, 1, 8, 8), np.uint8)
    images[:2, 0, 0, 0] = 255
    target = CallableTarget(wavering, "probabilities", classes=3, remote=True, deterministic=False)
    result = small_run(
        target=target, images=ImageSet.from_arrays(images, np.zeros(4, np.int64), name="four"),
        attack="random", budget=20, draws=3, limit=4,
    )  # fmt: skip
    assert (result.images, result.attacked) == (4, 2)


def test_a_continued_run_goes_on_with_as_many_passes(tmp_path: Path) -> None:
    random_run(out=tmp_path / "run", limit=2, draws=3)
    more = random_run(out=tmp_path / "run", limit=4)
    check_rows(more.table.to_pylist(), 3, 200)
    with pytest.raises(InputError, match="--draws was 3 and is 5"):
        random_run(out=tmp_path / "run", limit=4, draws=5)
    small_run(out=tmp_path / "plain", attack="few-pixel", limit=2)
    with pytest.raises(InputError, match="--draws was None and is 5"):
        small_run(out=tmp_path / "plain", attack="few-pixel", limit=2, draws=5)


def test_a_budget_that_leaves_nothing_to_search_with_is_refused() -> None:
    with pytest.raises(InputError, match="needs 11 or more"):
        random_run(budget=9)
    with pytest.raises(InputError, match="10 to verify"):
        random_run(noisy(deterministic=False), budget=10)
    with pytest.raises(InputError, match="--draws"):
        random_run(draws=0)
    assert random_run(budget=11, limit=2).table["asked"].to_pylist() == [11] * 4


def test_images_of_few_pixels_are_asked_again_before_they_count() -> None:
    """A search that went by single answers would stop at the first lucky pixel."""
    for spread, least in ((0.5, 7), (1.0, 6)):
        result = random_run(noisy(spread), attack="min-pixels", pixels=(8,), budget=900, limit=8)
        fooled = [row for row in result.table.to_pylist() if row["status"] == "fooled"]
        assert len(fooled) >= least
        assert all(row["course_pixels"][-1] <= row["changed"] for row in fooled)
    labels = random_run(noisy(1.0), attack="sparse-evo", pixels=(8,), budget=900, limit=6).table.to_pylist()
    assert sum(row["status"] == "fooled" for row in labels) >= 3


def test_a_search_that_ends_with_a_lucky_image_is_begun_again() -> None:
    """One pixel is the fewest there is: where a model does not stand by it, there are questions left to look on."""
    rows = random_run(noisy(4.0), attack="min-pixels", pixels=(8,), budget=300, limit=16).table.to_pylist()
    held = [row for row in rows if row["status"] == "held"]
    assert held
    assert "failed" not in {row["status"] for row in rows}, "an image without any changed pixel is none to end with"
    assert min(row["asked"] for row in held) >= 300 - 3 * DRAWS


@given(st.lists(st.lists(st.booleans(), min_size=7, max_size=7), min_size=1, max_size=5), st.integers(2, 7))
def test_a_hit_is_asked_again_no_more_than_decides(votes: list[list[bool]], draws: int) -> None:
    """As most of all passes have it, but that two which disagree at first end it."""
    unit, probabilities = make_unit(digits_target(), digits("test").image(0), label=0), digits_target().probabilities
    away, stay = np.eye(10)[3] * 5, np.eye(10)[0] * 5
    given = [0] * len(votes)

    def answer(edits: Edits, handles: NDArray[np.int64], n: int) -> list[NDArray[np.float64]]:
        told = []
        for handle in handles.tolist():
            part = votes[handle][given[handle] : given[handle] + n]
            given[handle] += n
            told.append(np.stack([away if vote else stay for vote in part]))
        return told

    meter: Any = SimpleNamespace(
        draws=draws, rows=64, verify=answer, target=SimpleNamespace(probabilities=probabilities)
    )
    loop = _Loop(lambda *_: pytest.fail("no search"), meter, iter(()), StopRule(), 1)
    slots = [_Slot(unit, handle) for handle in range(len(votes))]
    edits = Edits.join([make_edits() for _ in votes])
    stands = loop._stands(edits, slots).tolist()
    for own, slot, stood, asked in zip(votes, slots, stands, given, strict=True):
        assert slot.confirming == asked <= draws
        assert stood == (any(own[:2]) and 2 * sum(own[:draws]) > draws)


def row(image: str, agree: int | None, draws: int = 4, **more: Any) -> dict[str, Any]:
    status = "failed" if agree is None else "fooled" if 2 * agree > draws else "held"
    return outcome(image, status, draws=draws, agree=agree, **more)


def test_agreement_by_hand() -> None:
    found = agreement(outcomes([row("a", 4), row("b", 3), row("c", 2), row("d", 0), row("e", None)]))
    assert found is not None
    assert (found.draws, found.share.n) == (4, 5)
    assert found.share.mean == pytest.approx(9 / 20)
    assert [one.successes for one in (found.any, found.most, found.every)] == [3, 2, 1]
    assert found.as_dict()["most"]["rate"] == pytest.approx(0.4)
    assert agreement(outcomes([row("a", None, 1)])) is None
    assert agreement(outcomes([])) is None


def test_it_is_measured_printed_reported_and_checked(tmp_path: Path) -> None:
    random_run(out=tmp_path / "run", draws=5)
    table = read_outcomes(tmp_path / "run")
    own, baseline = measures(tmp_path / "run").rows
    for each in (own, baseline):
        assert each.agreement is not None
        assert each.agreement.most.successes == each.row.successes
    result = CliRunner().invoke(app, ["summary", str(tmp_path / "run")])
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    head = next(number for number, line in enumerate(lines) if line.startswith("A random model"))
    assert own.agreement is not None
    assert lines[head + 2].split()[:4] == ["few-pixel", "2", "6", "5"]
    assert f"{own.agreement.share.mean:.1%}" in lines[head + 2]
    text = write_report(tmp_path / "run").path.read_text(encoding="utf-8")
    assert "more than half of them meet the goal" in text
    assert "in 5 passes of their own, as it is random" in text
    for row in table.to_pylist():
        word = "in" if row["status"] == "fooled" else "with the goal met in"
        assert f", {word} {row['agree']} of 5 passes" in text
    check_values(table)
    for name, values, wrong in (
        ("agree", [6], "more than there were"),
        ("agree", [None], "several passes"),
        ("draws", [1], "several passes"),
        ("draws", [0], "no number of passes"),
    ):
        place = table.schema.get_field_index(name)
        bad = pa.array(values + table[name].to_pylist()[1:], table.schema.field(name).type)
        with pytest.raises(ValueError, match=wrong):
            check_values(table.set_column(place, name, bad))
