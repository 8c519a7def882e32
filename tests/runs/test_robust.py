"""What neither the model nor the folder is to blame for: memory of the search, paths, rounding, scores of any size."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import pinprick as pp
from pinprick.cli.main import main
from pinprick.data.digits import digits
from pinprick.data.image_set import ImageSet
from pinprick.errors import InputError
from pinprick.runs import run as run_module
from pinprick.runs import store as store_module
from pinprick.runs.result import Listener
from pinprick.runs.store import read_outcomes
from pinprick.search.random_search import RandomSearch
from pinprick.targets.callable_target import CallableTarget
from tests.conftest import digits_net, digits_target
from tests.runs.conftest import small_run

FACTORY = """
import os
from torch import nn

def net():
    os.makedirs("elsewhere", exist_ok=True)
    os.chdir("elsewhere")
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 3))
"""


def test_a_search_that_runs_out_of_memory_loses_nothing(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "FLUSH_SECONDS", 0.0)
    whole = small_run(out=out.parent / "whole", limit=12, attack="random", budget=40, batch_size=8).table
    tell, ended = RandomSearch.tell, 0

    def short(self: RandomSearch, fitness: NDArray[np.float64]) -> None:
        if ended > 1:
            raise MemoryError("Unable to allocate 93.1 GiB")
        tell(self, fitness)

    def on_step(done: int, _successes: int, _asked: int) -> None:
        nonlocal ended
        ended = done

    with monkeypatch.context() as patch:
        patch.setattr(RandomSearch, "tell", short)
        with pytest.raises(InputError, match=r"^memory: it ran out in the attack itself \(MemoryError") as raised:
            small_run(out=out, limit=12, attack="random", budget=40, batch_size=8, listener=Listener(on_step=on_step))
    assert "Give fewer pixels" in str(raised.value)
    assert ended > 1
    assert len(read_outcomes(out)) == ended
    again = small_run(out=out, limit=12, attack="random", budget=40, batch_size=8)
    assert again.table.equals(whole)


def test_memory_that_runs_out_anywhere_ends_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def short(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("pinprick.cli.summarising.measures", short)
    monkeypatch.setattr("sys.argv", ["pinprick", "summary", "run"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("error: memory: there is not enough of it.")


@pytest.mark.parametrize(("rows", "told"), [(8, True), (63, True), (64, False), (100, False)])
def test_rounding_is_told_where_more_rows_avoid_it(rows: int, told: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module, "row_drift", lambda *_: 2e-7)
    said: list[str] = []
    small_run(limit=1, attack="random", budget=2, batch_size=rows, listener=Listener(say=said.append))
    assert any("place in a pass" in line for line in said) == told


def test_a_factory_that_goes_elsewhere_leaves_the_run_where_its_user_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model.py").write_text(FACTORY)
    monkeypatch.chdir(tmp_path)
    photos = np.random.default_rng(0).integers(0, 256, (3, 3, 8, 8), dtype=np.uint8)
    options: dict[str, Any] = {"labels": "predicted", "outputs": "logits", "attack": "random", "budget": 2}
    pp.attack("model.py:net", (photos, None), out="run", **options)
    assert Path.cwd() == tmp_path
    assert (tmp_path / "run" / "outcomes.parquet").exists()
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_passes_of_one_row_are_silent() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(small_run(limit=1, attack="random", budget=2, batch_size=1).table) == 1


@pytest.mark.parametrize("attack", ["few-pixel", "cma-es", "one-pixel", "sparse-rs"])
def test_scores_near_the_largest_number_are_searched_without_a_warning(attack: str) -> None:
    net = digits_net()

    def huge(images: torch.Tensor) -> torch.Tensor:
        return torch.asarray(net(images)).double() * 1e304

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = small_run(target=CallableTarget(huge, "logits"), limit=2, attack=attack, budget=420, baseline="none")
    assert set(result.table["status"].to_pylist()) <= {"fooled", "held"}


def test_a_random_classifier_does_not_fool_itself() -> None:
    """Searched pixels may get their own colours; what then fools is no change of a pixel."""
    flips = np.random.default_rng(0)

    def random(images: torch.Tensor) -> torch.Tensor:
        scores = torch.zeros(len(images), 3)
        scores[range(len(images)), flips.integers(0, 3, len(images))] = 1
        return scores

    black = np.zeros((4, 1, 8, 8), np.uint8)
    target = CallableTarget(random, "logits")
    target.deterministic = False
    table = pp.attack(target, (black, None), labels="predicted", attack="sweep", budget=40).table
    for row in table.to_pylist():
        assert row["status"] != "fooled" or row["changed"] > 0


def test_probabilities_that_stop_being_any_fail_their_units(out: Path) -> None:
    net = digits_net()
    bases = torch.from_numpy(digits("test").stack(range(20))).float() / 255

    def bold(images: torch.Tensor) -> torch.Tensor:
        shares: torch.Tensor = net(images).softmax(1)
        differ = (images[:, None] != bases).flatten(2).sum(2)
        near = ((differ > 0) & (differ <= 3)).any(1)
        return torch.where(near[:, None], shares * 3, shares)

    target = CallableTarget(bold, "probabilities")
    table = small_run(out=out, target=target, limit=None, first=3, attack="random", budget=9).table
    assert set(table["status"].to_pylist()) == {"failed"}
    assert set(table["reason"].to_pylist()) == {"the target's probabilities leave [0, 1]"}
    assert len(read_outcomes(out)) == 3


def test_a_label_beyond_the_model_is_told_though_its_image_is_not_scored() -> None:
    own = digits("test")
    assert own.labels is not None
    labels = own.labels.copy()
    labels[-1] = 57
    images = ImageSet.from_arrays(own.stack(list(range(len(own)))), labels)
    with pytest.raises(InputError, match="has label 57, and the model has 10 classes"):
        small_run(images=images, first=2, limit=None, attack="random", budget=20)
    small_run(images=images, first=2, limit=None, attack="random", budget=20, labels="predicted")


def test_a_model_of_fewer_classes_than_the_set_may_predict_its_own_labels() -> None:
    whole = digits_target()
    few = CallableTarget(lambda images: whole.raw(images)[:, :3], "auto", name="three")
    assert small_run(target=few, limit=2, attack="random", budget=20, labels="predicted").attacked == 2
    with pytest.raises(InputError, match="the set has 10 classes and the model 3"):
        small_run(target=few, limit=2, attack="random", budget=20)
