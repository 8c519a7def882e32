"""The engine of a run: chosen once, kept in the manifest, and the same when the run is continued."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from pinprick.data.image_set import ImageSet
from pinprick.errors import InputError
from pinprick.incremental import check
from pinprick.incremental.route import Route
from pinprick.runs import estimate as estimates
from pinprick.runs.engines import settle_engines
from pinprick.runs.result import Listener
from pinprick.runs.run import run
from pinprick.runs.spec import make_spec
from pinprick.runs.store import read_outcomes
from pinprick.targets import editing
from pinprick.targets.torch_target import TorchTarget
from tests.conftest import digits_target, random_images
from tests.targets.test_editing import SHAPE, target, wide_net

IMAGES = random_images(12, SHAPE, seed=2)


def noise() -> ImageSet:
    own = target()
    return ImageSet.from_arrays(IMAGES, own.scores(own.images(IMAGES)).argmax(1))


def go(out: Path | None, limit: int = 4, **fields: Any) -> dict[str, Any]:
    spec = {"model": "m", "data": "d", "attack": "random", "budget": 80, "limit": limit, "pixels": 2, "out": out}
    run(make_spec(spec | fields), target=target(), images=noise())
    found: dict[str, Any] = json.loads((out / "manifest.json").read_text()) if out else {}
    return found


def found_by_check(monkeypatch: pytest.MonkeyPatch, **values: Any) -> None:
    """Let checks find these values, and all else as it is."""
    monkeypatch.setattr(editing, "check", lambda *given, **more: replace(check(*given, **more), **values))


def test_the_choice_is_in_the_manifest_and_kept_on_resume(tmp_path: Path) -> None:
    assert go(tmp_path / "a", engine="incremental")["passes"]["incremental"] == {"2": True}
    assert go(tmp_path / "a", limit=8)["passes"]["incremental"] == {"2": True}
    with pytest.raises(InputError, match="begun as incremental for 2 pixels"):
        go(tmp_path / "a", limit=8, engine="dense")
    go(tmp_path / "b", limit=8, engine="incremental")
    assert read_outcomes(tmp_path / "a").equals(read_outcomes(tmp_path / "b"))
    assert go(tmp_path / "c", engine="dense")["passes"]["incremental"] == {"2": False}
    with pytest.raises(InputError, match="begun as dense"):
        go(tmp_path / "c", engine="incremental")


def test_a_run_that_says_nothing_of_it_goes_on_dense(tmp_path: Path) -> None:
    out = tmp_path / "run"
    manifest = go(out, engine="dense")
    del manifest["passes"]["incremental"]
    (out / "manifest.json").write_text(json.dumps(manifest))
    go(out, limit=6)
    assert len(read_outcomes(out)) == 6


def test_automatic_choices_are_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found_by_check(monkeypatch, ratio=3.0)
    spec = make_spec({"model": "m", "data": "d", "pixels": (1, 2)})
    monkeypatch.setattr("pinprick.targets.editing.SMALL", 0)
    own = target()
    own.prepare(own.images(IMAGES))
    own.gain = 1.0

    def settle(stored: dict[str, bool] | None = None) -> dict[str, bool]:
        return settle_engines(spec, own, noise(), [0, 1, 2], stored, Listener(told.append), cache=tmp_path)[1]

    told: list[str] = []
    first = settle()
    kept = json.loads((tmp_path / "engines.json").read_text())
    assert sorted(kept.values()) == sorted(first.values())
    # What is remembered counts, and not what would be measured now.
    (tmp_path / "engines.json").write_text(json.dumps({key: not value for key, value in kept.items()}))
    told.clear()
    assert settle() == {pixels: not value for pixels, value in first.items()}
    used = [pixels for pixels, value in first.items() if not value]
    assert [text.split(" ")[0] for text in told] == used
    assert all("only what they reach is computed, as measured on this machine before" in text for text in told)
    told.clear()
    settle({"1": False, "2": True})
    assert told == ["2 pixels: only what they reach is computed, as when the run began"]
    (tmp_path / "engines.json").write_text("[")
    settle()
    assert len(json.loads((tmp_path / "engines.json").read_text())) == 2


def test_a_time_that_was_slower_is_told_and_not_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = make_spec({"model": "m", "data": "d"})
    monkeypatch.setattr("pinprick.targets.editing.SMALL", 0)
    own = target()
    own.prepare(own.images(IMAGES))
    own.gain = 2.0
    told: list[str] = []

    def settle(ratio: float) -> dict[str, bool]:
        found_by_check(monkeypatch, ratio=ratio)
        return settle_engines(spec, own, noise(), [0, 1, 2], None, Listener(told.append), cache=tmp_path)[1]

    assert settle(1.5) == {"1": False}
    assert told == ["1 pixel: whole images are computed, as windows were slower just now (0.75 x the dense speed)"]
    assert not (tmp_path / "engines.json").exists()
    told.clear()
    assert settle(6.0) == {"1": True}
    assert told == ["1 pixel: only what they reach is computed, 3.0 x the dense speed"]
    assert settle(1.5) == {"1": True}


def test_what_is_not_exact_is_told_and_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = make_spec({"model": "m", "data": "d"})
    monkeypatch.setattr("pinprick.targets.editing.SMALL", 0)
    found_by_check(monkeypatch, steady=False)
    own = target()
    own.prepare(own.images(IMAGES))
    told: list[str] = []
    for _ in range(2):
        settled = settle_engines(spec, own, noise(), [0, 1, 2], None, Listener(told.append), cache=tmp_path)[1]
        assert settled == {"1": False}
    assert told == ["1 pixel: whole images are computed, as scores would depend on the other candidates of a pass"]
    assert list(json.loads((tmp_path / "engines.json").read_text()).values()) == [False]


class Scaled(nn.Module):
    """The same weights, and other scores: one of them is read besides, for a factor, where that is wanted."""

    def __init__(self, *, by: bool) -> None:
        super().__init__()
        self.net, self.by = wide_net(), by
        self.first = next(self.net.parameters())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = self.net(x)
        return made / self.first.abs().mean() if self.by else made


def test_a_choice_holds_for_the_steps_that_it_was_made_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found_by_check(monkeypatch, ratio=3.0)
    monkeypatch.setattr("pinprick.targets.editing.SMALL", 0)
    spec = make_spec({"model": "m", "data": "d"})
    for number, by in enumerate((False, True, False), 1):
        own = TorchTarget(Scaled(by=by), "logits", classes=6)
        own.prepare(own.images(IMAGES))
        own.gain = 1.0
        settled = settle_engines(spec, own, noise(), [0, 1], None, Listener(), cache=tmp_path)[1]
        assert settled == {"1": True}
        assert len(json.loads((tmp_path / "engines.json").read_text())) == min(number, 2)


def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let windows have other scores than whole images."""
    run_ = Route.run
    monkeypatch.setattr(Route, "run", lambda *given: run_(*given) * 1.01)


def test_a_remembered_choice_is_looked_at_and_made_again_where_it_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found_by_check(monkeypatch, ratio=3.0)
    monkeypatch.setattr("pinprick.targets.editing.SMALL", 0)
    spec, told = make_spec({"model": "m", "data": "d"}), list[str]()
    own = target()
    own.prepare(own.images(IMAGES))
    own.gain = 1.0

    def settle() -> dict[str, bool]:
        return settle_engines(spec, own, noise(), [0, 1], None, Listener(told.append), cache=tmp_path)[1]

    assert settle() == {"1": True}
    told.clear()
    broken(monkeypatch)
    for _ in range(2):
        assert settle() == {"1": False}
    assert told == ["1 pixel: whole images are computed, as scores differ by 0.01 of their size from the dense ones"]


def test_a_run_on_windows_is_not_continued_where_they_are_not_exact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go(tmp_path / "a", engine="incremental")
    before = read_outcomes(tmp_path / "a")
    broken(monkeypatch)
    with pytest.raises(InputError, match=r"begun on windows for 2 changed pixels, and here scores differ by 0\.01"):
        go(tmp_path / "a", limit=8)
    assert read_outcomes(tmp_path / "a").equals(before)


def test_a_small_network_is_dense_by_itself_and_a_function_always(tmp_path: Path) -> None:
    from pinprick.targets.callable_target import CallableTarget
    from tests.runs.conftest import small_run

    out = tmp_path / "digits"
    small_run(target=digits_target(), out=out, attack="random", limit=2, budget=20)
    assert json.loads((out / "manifest.json").read_text())["passes"]["incremental"] == {"1": False}
    plain = digits_target()
    function = CallableTarget(plain.raw, "logits", name="f")
    small_run(target=function, out=tmp_path / "f", attack="random", limit=2, budget=20)
    with pytest.raises(InputError, match="no torch module"):
        small_run(target=function, attack="random", limit=2, budget=20, engine="incremental")


def test_windows_are_refused_where_nothing_of_a_run_uses_them() -> None:
    from tests.runs.conftest import small_run

    options: dict[str, Any] = {"limit": 1, "budget": 60, "engine": "incremental"}
    with pytest.raises(InputError, match="--engine incremental: hard-label changes too much of an image for it"):
        small_run(target=digits_target(), attack="hard-label", baseline="none", **options)
    labels = digits_target()
    labels.outputs = "labels"
    with pytest.raises(InputError, match="tells labels alone"):
        small_run(target=labels, attack="random", **options)


def test_a_plan_counts_with_the_speed_of_the_way_that_a_run_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = {"model": "m", "data": "d", "attack": "random", "budget": 101, "limit": 2, "pixels": (1, 2)}
    monkeypatch.setattr(estimates, "_images_a_second", lambda *_: 10.0)
    asked: list[int] = []

    def speed(editing: Any, image: Any, pixels: int) -> float:
        found = measured(editing, image, pixels)
        assert found > 0
        asked.append(pixels)
        return 1000.0 / pixels

    measured = estimates._edits_a_second
    monkeypatch.setattr(estimates, "_edits_a_second", speed)
    found = estimates.estimate(make_spec(spec | {"engine": "incremental"}), target=target(), images=noise())
    assert found["questions"] == 2 * 2 * 101
    assert found["seconds"] == pytest.approx(2 * 101 / 1000 + 2 * 101 / 500)
    assert found["questions_per_second"] == pytest.approx(found["questions"] / found["seconds"])
    assert asked == [1, 2]
    whole = estimates.estimate(make_spec(spec | {"engine": "dense"}), target=target(), images=noise())
    assert whole["seconds"] == pytest.approx(2 * 2 * 101 / 10)
