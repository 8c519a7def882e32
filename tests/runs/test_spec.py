"""Specifications: defaults, TOML, and errors that name the option."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pinprick.errors import InputError, UnknownNameError
from pinprick.runs.spec import make_spec, parse_pixels, read_spec

LEAST = {"model": "m", "data": "d"}


def test_defaults_are_the_documented_ones() -> None:
    spec = make_spec(LEAST)
    assert (spec.goal, spec.pixels, spec.stop, spec.outputs, spec.seed) == ("untargeted", (1,), "first-hit", "auto", 0)
    assert spec.questions() == 40_401
    assert spec.wanted() == 100
    assert [attack.name for attack in spec.attacks()] == ["one-pixel", "random"]
    assert [attack.name for attack in make_spec(LEAST | {"attack": "random"}).attacks()] == ["random"]
    assert [attack.name for attack in make_spec(LEAST | {"baseline": "none"}).attacks()] == ["one-pixel"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"pixels": "0"}, "--pixels.*1 or more"),
        ({"pixels": "-3"}, "--pixels.*1 or more"),
        ({"pixels": "one"}, "--pixels.*integers"),
        ({"pixels": ""}, "--pixels.*integers"),
        ({"pixels": ()}, "--pixels"),
        ({"limit": 5, "first": 5}, "--limit and --first: both are given"),
        ({"limit": 0}, "--limit: 0"),
        ({"budget": 1, "attack": "random"}, "--budget 1: random needs 2 or more"),
        ({"budget": 400}, "--budget 400: one-pixel needs 401 or more"),
        ({"attack": "one-pixle"}, "--attack: there is no 'one-pixle'. Did you mean one-pixel"),
        ({"goal": "target"}, "--goal: 'target'"),
        ({"goal": "untargeted-derived", "targets": "random"}, "--targets random.*--targets all"),
        ({"stop": "soon"}, "--stop: 'soon'"),
        ({"outputs": "logit"}, "--outputs: 'logit'"),
        ({"seed": -1}, "--seed: -1"),
        ({"batch_size": 0}, "--batch-size: 0"),
        ({"pixel": 1}, "run specification: there is no 'pixel'. Did you mean pixels"),
    ],
)
def test_bad_fields_are_refused_by_name(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_spec(LEAST | fields)


def test_a_missing_model_is_named() -> None:
    with pytest.raises(InputError, match="--model: it is missing"):
        make_spec({"data": "d"})


def test_pixels_read_the_same_in_all_forms_and_twice_is_once() -> None:
    assert parse_pixels("1,3,5") == (1, 3, 5)
    for form in ("1,3", [1, 3], (1, 3), [1, 3, 1]):
        assert make_spec(LEAST | {"pixels": form}).pixels == (1, 3)
    assert make_spec(LEAST | {"pixels": 3}).pixels == (3,)


def test_toml_is_the_same_spec_and_dashes_count_as_underscores(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text('model = "m"\ndata = "d"\npixels = [1, 3]\nbatch-size = 32\nsave-images = true\nout = "o"\n')
    spec = make_spec(read_spec(path))
    assert spec == make_spec(LEAST | {"pixels": "1,3", "batch_size": 32, "save_images": True, "out": "o"})


def test_a_toml_that_is_none_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_spec(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("model = ")
    with pytest.raises(InputError, match="not TOML"):
        read_spec(tmp_path / "bad.toml")


def test_how_many_and_where_to_are_not_the_identity() -> None:
    one = make_spec(LEAST | {"limit": 5, "out": "a", "save_images": True})
    other = make_spec(LEAST | {"first": 50, "out": "b", "retry_failed": True})
    assert one.identity() == other.identity()
    assert one.identity() != make_spec(LEAST | {"seed": 1}).identity()
    assert one.identity() == make_spec(LEAST | {"budget": 40_401}).identity(), "the default, said aloud"


def test_unknown_names_are_a_kind_of_input_error() -> None:
    with pytest.raises(UnknownNameError):
        make_spec(LEAST | {"nonsense": 1})
