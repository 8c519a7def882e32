"""Classifiers of scikit-learn: how images go in, what is taken for scores, and whose verdict counts."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier, VotingClassifier
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import Binarizer, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from pinprick.api import attack, image_set
from pinprick.data.digits import digits
from pinprick.data.image_set import ImageSet
from pinprick.errors import InputError
from pinprick.goals import softmax
from pinprick.targets.estimators import estimator_digest, pixels_up_to
from pinprick.targets.loading import as_target
from pinprick.targets.outputs import settle
from pinprick.targets.passes import default_rows
from pinprick.targets.sklearn_target import SklearnTarget
from tests.conftest import random_images

TRAIN, TEST = digits("train"), digits("test")
PIXELS = TEST.stack()
COLOURS = random_images(20, (3, 8, 9))


def features(images: ImageSet, white: float = 16) -> Any:
    """Rows of features as scikit-learn has digits: values from 0 to ``white``."""
    return np.round(images.stack().reshape(len(images), -1) * (white / 255), 9)


@lru_cache
def fitted(kind: str) -> Any:
    """A classifier of digits from 0 to 16."""
    made: dict[str, Callable[[], Any]] = {
        "forest": lambda: RandomForestClassifier(20, random_state=0, n_jobs=2),
        "regression": lambda: LogisticRegression(max_iter=20, tol=0.1),
        "ridge": RidgeClassifier,
        "neighbours": lambda: KNeighborsClassifier(3),
        "svc": SVC,
        "pairs": lambda: SVC(decision_function_shape="ovo"),
        "pipeline": lambda: make_pipeline(StandardScaler(), GaussianNB(var_smoothing=0.1)),
    }
    return made[kind]().fit(features(TRAIN), TRAIN.labels)


def target_of(kind: str, **options: Any) -> SklearnTarget:
    target = SklearnTarget(fitted(kind), normalize="0..16", **options)
    settle(target, PIXELS[:64])
    return target


@pytest.mark.parametrize("kind", ["forest", "regression", "ridge", "neighbours", "svc", "pairs", "pipeline"])
def test_the_foremost_class_is_what_predict_says(kind: str) -> None:
    target = target_of(kind)
    noise = random_images(100, (1, 8, 8))
    for images in (PIXELS[:200], noise):
        said = fitted(kind).predict(images.reshape(len(images), -1) * (16 / 255))
        assert np.array_equal(target.scores(target.images(images)).argmax(axis=1), said)


@pytest.mark.parametrize(
    ("kind", "outputs"),
    [
        ("forest", "probabilities"),
        ("regression", "logits"),
        ("ridge", "logits"),
        ("neighbours", "probabilities"),
        ("svc", "logits"),
        ("pairs", "labels"),
        ("pipeline", "probabilities"),
    ],
)
def test_what_is_taken_for_scores(kind: str, outputs: str) -> None:
    target = target_of(kind)
    assert (target.outputs, target.classes) == (outputs, 10)
    found = target.probabilities(target.scores(target.images(PIXELS[:50])))
    if hasattr(fitted(kind), "predict_proba"):
        assert np.allclose(found, fitted(kind).predict_proba(features(TEST)[:50]), atol=1e-6)


def test_two_classes_have_a_score_each() -> None:
    two = np.isin(np.asarray(TRAIN.labels), (0, 1))
    rows, labels = features(TRAIN)[two], TRAIN.labels[two]  # type: ignore[index]
    regression = LogisticRegression(max_iter=20, tol=0.1).fit(rows, labels)
    target = SklearnTarget(regression, normalize="0..16")
    settle(target, PIXELS[:64])
    scores = target.scores(target.images(PIXELS[:50]))
    assert target.outputs == "logits"
    assert np.allclose(softmax(scores), regression.predict_proba(features(TEST)[:50]), atol=1e-6)


def test_what_is_asked_for_is_taken_and_what_there_is_not_is_told() -> None:
    assert target_of("forest", outputs="labels").scores(target_of("forest").images(PIXELS[:3])).max() == 1
    assert target_of("regression", outputs="probabilities").outputs == "probabilities"
    with pytest.raises(InputError, match="has no decision_function"):
        target_of("forest", outputs="logits")
    with pytest.raises(InputError, match=r"no predict_proba.*SVC needs probability=True"):
        target_of("svc", outputs="probabilities")


@pytest.mark.parametrize(("normalize", "white"), [(None, 1), ("0..16", 16), ("0..255", 255), ("-1..1", 1)])
def test_pixels_reach_the_classifier_in_the_range_that_it_was_fitted_on(normalize: str | None, white: float) -> None:
    seen: list[Any] = []

    class Watching(DecisionTreeClassifier):  # type: ignore[misc]
        def predict(self, X: Any, check_input: bool = True) -> Any:  # noqa: N803
            seen.append(X)
            return super().predict(X)

    tree = Watching().fit(features(TRAIN), TRAIN.labels)
    target = SklearnTarget(tree, "labels", normalize=normalize)
    every = np.arange(256, dtype=np.uint8).reshape(4, 1, 8, 8)
    target.scores(target.images(every))
    black = -1 if normalize == "-1..1" else 0
    expected = every.reshape(4, 64) / 255 * (white - black) + black
    assert np.allclose(seen[0], expected, atol=1e-12)
    if white == 255:
        assert np.array_equal(seen[0], every.reshape(4, 64)), "whole numbers stay whole"


def test_whole_values_stay_whole_where_a_classifier_cuts_at_one() -> None:
    rows = PIXELS.reshape(len(PIXELS), -1)
    cut = make_pipeline(Binarizer(threshold=128), DecisionTreeClassifier(random_state=0)).fit(rows, TEST.labels)
    target = SklearnTarget(cut, normalize="0..255")
    at = np.full((1, 1, 8, 8), 128, np.uint8)
    assert np.array_equal(target.scores(target.images(at)), cut.predict_proba(at.reshape(1, 64)))


@pytest.mark.parametrize(("layout", "axes"), [("auto", (0, 2, 3, 1)), ("nhwc", (0, 2, 3, 1)), ("nchw", (0, 1, 2, 3))])
def test_colours_are_laid_out_as_is_said(layout: Any, axes: tuple[int, ...]) -> None:
    rows = COLOURS.transpose(axes).reshape(20, -1)
    tree = DecisionTreeClassifier(random_state=0).fit(rows, np.arange(20))
    target = SklearnTarget(tree, normalize="0..255", layout=layout)
    assert np.array_equal(target.scores(target.images(COLOURS)).argmax(axis=1), np.arange(20))
    target.prepare(target.images(COLOURS))
    assert any("--layout" in note for note in target.notes) == (layout == "auto")
    swapped = SklearnTarget(tree, normalize="0..255", layout=layout, order="bgr")
    assert np.array_equal(swapped.scores(swapped.images(COLOURS[:, ::-1])).argmax(axis=1), np.arange(20))


def test_images_of_another_size_are_told() -> None:
    with pytest.raises(InputError, match="it takes 64 features, and images of 3 x 8 x 8 have 192 values"):
        attack(fitted("forest"), (random_images(2, (3, 8, 8)), [0, 1]))


def test_several_threads_are_not_used_and_passes_have_more_rows() -> None:
    target = target_of("forest")
    images = target.images(PIXELS[:64])
    found = [target.scores(images) for _ in range(3)]
    assert all(np.array_equal(found[0], one) for one in found)
    assert default_rows(target) == 256
    assert target.estimator.n_jobs == 2, "the user's own is left as it is"


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (RandomForestClassifier, "a RandomForestClassifier that is not fitted"),
        (lambda: make_pipeline(StandardScaler(), GaussianNB()), "a Pipeline that is not fitted"),
        (lambda: StandardScaler().fit([[0.0], [1.0]]), "a StandardScaler, which predicts nothing"),
        (lambda: LinearRegression().fit([[0.0], [1.0]], [0, 1]), "a LinearRegression, which is no classifier"),
        (lambda: DecisionTreeClassifier().fit([[0.0], [1.0]], [[0, 1], [1, 0]]), "with several outputs"),
        (lambda: DecisionTreeClassifier().fit([[0.0], [1.0]], [1, 1]), "with 1 class"),
    ],
)
def test_what_is_no_classifier_of_images_is_told(made: Callable[[], Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        as_target(made())


def test_a_class_with_predict_and_classes_is_enough() -> None:
    class Own:
        classes_ = np.array([0, 1])

        def predict(self, rows: Any) -> Any:
            return (rows.mean(axis=1) > 0.5).astype(int)

    target = as_target(Own(), outputs="labels")
    assert isinstance(target, SklearnTarget)
    assert target.scores(target.images(np.full((2, 1, 8, 8), 255, np.uint8))).argmax(axis=1).tolist() == [1, 1]


def test_range_is_suspected_where_it_shows() -> None:
    assert [pixels_up_to(fitted(kind)) for kind in ("neighbours", "svc")] == [16, 16]
    assert 10 < (pixels_up_to(fitted("forest")) or 0) < 16
    assert pixels_up_to(fitted("pipeline")) > 1  # type: ignore[operator]
    several = [("forest", fitted("forest")), ("bayes", fitted("pipeline"))]
    voting = VotingClassifier(several, voting="soft").fit(features(TRAIN), TRAIN.labels)
    assert 10 < (pixels_up_to(voting) or 0) < 17
    boosted = GradientBoostingClassifier(n_estimators=1).fit(features(TRAIN)[:200], np.asarray(TRAIN.labels)[:200])
    assert (pixels_up_to(boosted) or 0) > 1
    assert pixels_up_to(Pipeline([("k", SelectKBest()), ("n", GaussianNB())])) is None
    for normalize, doubt in ((None, True), ("0..16", False), ("0..255", True)):
        notes = SklearnTarget(fitted("forest"), normalize=normalize).notes
        assert any("fitted on values up to" in note for note in notes) == doubt


def test_its_digest_tells_what_was_fitted_and_not_how_it_was_stored() -> None:
    def forest(seed: int, **more: Any) -> Any:
        return RandomForestClassifier(3, random_state=seed, **more).fit(features(TRAIN)[:100], TRAIN.labels[:100])  # type: ignore[index]

    assert estimator_digest(forest(0)) == estimator_digest(forest(0))
    assert estimator_digest(forest(0)) != estimator_digest(forest(1))
    assert estimator_digest(fitted("pipeline")) != estimator_digest(fitted("regression"))
    first, second = SklearnTarget(forest(0)), SklearnTarget(forest(0), normalize="0..16")
    assert first.identity() != second.identity()
    assert "scikit-learn" in first.versions()


@pytest.mark.parametrize(
    ("classes", "names"),
    [
        ([3, 8], ("3", "8")),
        (["ant", "bee"], ("ant", "bee")),
        ([False, True], None),
        ([0.0, 1.0], None),
        ([0, 1], None),
        ([-1, 1], ("-1", "1")),
    ],
)
def test_classes_of_other_kinds(classes: list[Any], names: tuple[str, ...] | None) -> None:
    tree = DecisionTreeClassifier().fit([[0.0] * 64, [1.0] * 64], classes)
    target = SklearnTarget(tree, "labels")
    assert target.class_names == names
    assert target.scores(target.images(np.full((1, 1, 8, 8), 255, np.uint8))).argmax() == 1


def test_some_of_the_digits_by_their_names() -> None:
    def some(images: ImageSet) -> Any:
        return np.isin(np.asarray(images.labels), (3, 8))

    labels = TRAIN.labels[some(TRAIN)]  # type: ignore[index]
    forest = RandomForestClassifier(10, random_state=0).fit(features(TRAIN)[some(TRAIN)], labels)
    few = image_set(PIXELS[some(TEST)], TEST.labels[some(TEST)])  # type: ignore[index]
    said: list[str] = []
    options: dict[str, Any] = {"normalize": "0..16", "limit": 3, "attack": "random", "budget": 5}
    result = attack(forest, few, say=said.append, **options)
    assert result.clean_accuracy is not None
    assert result.clean_accuracy > 0.7
    assert "note: the classes of images go by name, in the order of RandomForestClassifier" in said
    assert set(result.table["label"].to_pylist()) <= {0, 1}
    with pytest.raises(InputError, match=r"class '0' is none of the classes of RandomForestClassifier \(3, 8\)"):
        attack(forest, "digits:test", **options)


def test_few_pixels_fool_a_forest_whose_scores_are_steps() -> None:
    options: dict[str, Any] = {"normalize": "0..16", "limit": 4, "pixels": (1, 3, 5), "budget": 200}
    said: list[str] = []
    result = attack(fitted("forest"), "digits:test", say=said.append, **options)
    rows = {(row.attack, row.pixels): row for row in result.rows}
    assert {row.n for row in rows.values()} == {4}
    assert sum(row.failed for row in rows.values()) == 0
    assert rows["few-pixel", 5].successes >= rows["few-pixel", 1].successes
    assert rows["few-pixel", 5].successes > 0
    assert "outputs of RandomForestClassifier: probabilities (predict_proba of RandomForestClassifier)" in said
    # What the classifier itself says of the image that the outcome describes.
    for outcome in result.table.to_pylist():
        if outcome["status"] == "fooled":
            image = TEST.image(TEST.names.index(outcome["image"]))
            for row, column, colour in zip(outcome["rows"], outcome["columns"], outcome["colours"], strict=True):
                image[:, row, column] = colour
            said_of_it = fitted("forest").predict(image.reshape(1, 64) * (16 / 255))[0]
            assert said_of_it == outcome["predicted_after"] != outcome["label"]


def test_low_accuracy_is_told_with_what_may_be_behind_it() -> None:
    said: list[str] = []
    attack(fitted("forest"), "digits:test", say=said.append, limit=4, attack="random", budget=4)
    told = next(line for line in said if line.startswith("warning: clean accuracy"))
    assert "the range of the pixel values that it was fitted on (--normalize 0..255" in told
    assert any("was fitted on values up to 1" in line for line in said)
