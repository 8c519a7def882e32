"""Classifiers in files of joblib, pickle and skops, and pinprick attack on them."""

from __future__ import annotations

import json
import pickle
import sys
import zipfile
from functools import lru_cache
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import sklearn
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.preprocessing import StandardScaler
from typer.testing import CliRunner

from pinprick.cli.app import app
from pinprick.data.digits import digits
from pinprick.errors import InputError
from pinprick.targets.loading import load_target
from pinprick.targets.sklearn_target import SklearnTarget
from tests.conftest import digits_net

IMAGES = digits("test").stack()[:40]


class Own(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A classifier that skops has never heard of."""

    def fit(self, rows: Any, labels: Any) -> Own:
        self.classes_ = np.unique(labels)
        return self

    def predict(self, rows: Any) -> Any:
        return self.classes_[(rows.sum(axis=1).astype(int)) % len(self.classes_)]


class Trap:
    """Leaves a mark where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, tuple[Path]]:
        return Path.touch, (self.mark,)


def forest_rows() -> Any:
    train = digits("train")
    return train.stack().reshape(len(train), -1) * (16 / 255)


@lru_cache
def forest() -> Any:
    return RandomForestClassifier(10, random_state=0).fit(forest_rows(), digits("train").labels)


def scores(model: str, **options: Any) -> Any:
    target = load_target(model, normalize="0..16", **options)
    assert isinstance(target, SklearnTarget)
    return target.scores(target.images(IMAGES))


def stored(kind: str, folder: Path, made: Any = None) -> str:
    path = folder / f"forest.{kind.partition('-')[0]}"
    made = forest() if made is None else made
    if kind == "joblib-packed":
        joblib.dump(made, path, compress=3)
    elif kind == "joblib":
        joblib.dump(made, path)
    elif kind == "skops":
        pytest.importorskip("skops.io", reason="skops is not installed").dump(made, path)
    else:
        path.write_bytes(pickle.dumps(made))
    return str(path)


@pytest.mark.parametrize("kind", ["joblib", "joblib-packed", "pkl", "pickle"])
def test_pickles_are_loaded_where_they_are_trusted_and_not_otherwise(kind: str, tmp_path: Path) -> None:
    path = stored(kind, tmp_path)
    right = "skops" if kind.startswith("joblib") else "safetensors"
    with pytest.raises(InputError, match=rf"can run any code when it is loaded\. .*--trust-pickle.*{right}"):
        load_target(path)
    own = SklearnTarget(forest(), normalize="0..16")
    assert np.array_equal(scores(path, trust_pickle=True), own.scores(own.images(IMAGES)))
    assert load_target(path, trust_pickle=True).identity() == SklearnTarget(forest(), "auto").identity()


@pytest.mark.parametrize("kind", ["joblib", "pkl"])
def test_nothing_in_one_runs_without_trust(kind: str, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    path = stored(kind, tmp_path, Trap(mark))
    with pytest.raises(InputError, match="--trust-pickle"):
        load_target(path)
    assert not mark.exists()
    with pytest.raises(InputError, match="no module"):
        load_target(path, trust_pickle=True)
    assert mark.exists(), "the trap works"


def test_a_plain_pickle_of_a_module_is_one_too(tmp_path: Path) -> None:
    target = load_target(stored("pkl", tmp_path, digits_net()), trust_pickle=True, device="cpu")
    assert target.scores(target.images(IMAGES)).shape == (40, 10)


def test_skops_needs_no_trust_for_what_it_knows(tmp_path: Path) -> None:
    bayes = GaussianNB(var_smoothing=0.1).fit(forest_rows(), digits("train").labels)
    path = stored("skops", tmp_path, bayes)
    own = SklearnTarget(bayes, normalize="0..16")
    for trust in (False, True):
        assert np.array_equal(scores(path, trust_pickle=trust), own.scores(own.images(IMAGES)))
    assert load_target(path).identity() == SklearnTarget(bayes).identity()


@pytest.mark.parametrize(
    ("made", "named"),
    [
        (lambda: Own().fit(IMAGES, [0, 1]), r"tests\.targets\.test_estimator_files\.Own"),
        (forest, r"sklearn\.tree\._tree\.Tree"),
    ],
)
def test_types_that_skops_does_not_know_are_named_and_wait_for_trust(made: Any, named: str, tmp_path: Path) -> None:
    path = stored("skops", tmp_path, made())
    with pytest.raises(InputError, match=rf"not known to be harmless \({named}\)\. .*--trust-pickle"):
        load_target(path)
    assert load_target(path, trust_pickle=True).identity() == SklearnTarget(made()).identity()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.skops", b"", "cannot be read"),
        ("x.skops", b"PK\x03\x04 no zip", "cannot be read"),
        ("x.joblib", b"", r"the file is empty \(0 bytes\)"),
        ("x.joblib", b"no pickle", "loading it raised .* It may be cut off"),
    ],
)
def test_damaged_files_are_told(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    if name.endswith("skops"):
        pytest.importorskip("skops", reason="skops is not installed")
    path = tmp_path / name
    with pytest.raises(InputError, match="there is no file"):
        load_target(str(path), trust_pickle=name == "x.joblib")
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        load_target(str(path), trust_pickle=name == "x.joblib")


@pytest.mark.parametrize("kind", ["joblib", "skops"])
def test_what_is_no_classifier_is_told(kind: str, tmp_path: Path) -> None:
    path = stored(kind, tmp_path, StandardScaler().fit([[0.0], [1.0]]))
    with pytest.raises(InputError, match="a StandardScaler, which predicts nothing"):
        load_target(path, trust_pickle=kind == "joblib")
    path = stored(kind, tmp_path, [1, 2])
    with pytest.raises(InputError, match="it holds a list, no "):
        load_target(path, trust_pickle=kind == "joblib")


@pytest.mark.parametrize("kind", ["joblib", "skops"])
def test_another_version_of_scikit_learn_is_told(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sklearn.base.__version__", "1.2.3")
    path = stored(kind, tmp_path)
    monkeypatch.undo()
    target = load_target(path, trust_pickle=True, normalize="0..16")
    told = f"warning: scikit-learn 1.2.3 has written it, and {sklearn.__version__} reads it: it may answer otherwise"
    assert target.notes == (told,)


def test_a_small_file_that_unpacks_to_a_very_large_one_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "x.skops"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("schema.json", b'{"content": "' + b"0" * (2**26) + b'"}')
    with pytest.raises(InputError, match=r"bytes that say they unpack to 67108879"):
        load_target(str(path))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("a.npy", "w") as file:
        for _ in range(2**8 + 1):
            file.write(bytes(2**20))
    with pytest.raises(InputError, match=r"bytes that say they unpack to 269484032"):
        load_target(str(path), trust_pickle=True)


@pytest.mark.parametrize(("version", "message"), [("0.12.1", "skops 0.12.1 does not read files safely"), (None, "pip")])
def test_without_a_skops_that_reads_safely(
    version: str | None, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.skops"
    path.write_bytes(b"x")
    if version is None:
        monkeypatch.setitem(sys.modules, "skops", None)
        monkeypatch.setitem(sys.modules, "skops.io", None)
    else:
        pytest.importorskip("skops", reason="skops is not installed")
        monkeypatch.setattr("pinprick.targets.skops_files.version", lambda name: version)
    with pytest.raises(InputError, match=message):
        load_target(str(path))


def test_a_forest_from_training_to_its_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    joblib.dump(forest(), "forest.joblib")
    line = "attack --model forest.joblib --trust-pickle --normalize 0..16 --data digits:test --pixels 1,3,5 --limit 3"
    done = CliRunner().invoke(app, [*line.split(), "--budget", "150", "--out", "run", "--json"])
    assert done.exit_code == 0, done.output
    rows = json.loads(done.stdout)["rows"]
    assert [(row["attack"], row["pixels"], row["n"], row["failed"]) for row in rows] == [
        (attack, pixels, 3, 0) for attack in ("few-pixel", "random") for pixels in (1, 3, 5)
    ]
    what = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert what["what"]["target"]["preprocess"]["std"] == [1 / 16]
    assert what["versions"]["scikit-learn"] == sklearn.__version__
    again = CliRunner().invoke(app, [*line.split(), "--budget", "150", "--out", "run", "--json"])
    assert json.loads(again.stdout)["rows"] == rows
    assert "are stored already" in again.stderr
    joblib.dump(RandomForestClassifier(5, random_state=1).fit(forest_rows(), digits("train").labels), "forest.joblib")
    other = CliRunner().invoke(app, [*line.split(), "--budget", "150", "--out", "run", "--json"])
    assert isinstance(other.exception, InputError)
    assert "the digest of the model's weights" in str(other.exception)
