"""Targets that are classifiers of scikit-learn, or of a package with its interface."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pinprick.errors import InputError, TargetError
from pinprick.goals import softmax
from pinprick.targets.arrays import ArrayPixels, Layout
from pinprick.targets.base import Outputs, Target
from pinprick.targets.estimators import estimator_digest, pixels_up_to

_METHODS = {"probabilities": "predict_proba", "logits": "decision_function", "labels": "predict"}
_AGREES = 0.5
"""Share of images for which the foremost class of scores has to be that of ``predict`` for these to be used."""


class SklearnTarget(Target):
    """A fitted classifier of scikit-learn; images go in as rows of numbers, one for each pixel and channel.

    Scores are ``predict_proba``, or ``decision_function`` (logits) where its softmax is the same or it agrees with
    ``predict`` more often, else the labels of ``predict``. Searches follow these scores; in the clean pass and in
    verdicts the foremost class is always what ``predict`` says.

    Parameters
    ----------
    estimator : a fitted classifier: one output, two classes or more; pipelines and searches over parameters too.
    outputs : ``auto``, or which of them: ``probabilities``, ``logits`` or ``labels``.
    normalize : the range that it was fitted on, ``"0..255"`` or ``"0..16"`` say, or another normalisation (see
        :func:`pinprick.models.preprocessing.parse_normalisation`); None: pixels go in as numbers in [0, 1].
    order : ``"rgb"`` or ``"bgr"``.
    layout : how colour images are laid out in a row of features: ``"nhwc"``, pixel by pixel, as an array of an image
        file is flattened (``auto`` as well); ``"nchw"``, channel by channel. Gray images are the same in both.

    Raises
    ------
    InputError : no classifier, not fitted, several outputs, or ``outputs`` that it does not have.
    """

    usual_rows = 256
    suspects = (
        "the range of the pixel values that it was fitted on (--normalize 0..255, or 0..16 as in scikit-learn's "
        "digits; without it they are in [0, 1]), the layout of colours (--layout), or the order of the classes "
        "(--classes)"
    )

    def __init__(
        self,
        estimator: Any,
        outputs: Outputs = "auto",
        *,
        name: str | None = None,
        normalize: str | None = None,
        order: str | None = None,
        layout: Layout = "auto",
    ) -> None:
        own = type(estimator).__name__
        self._found = _classes(estimator, f"--model {name}" if name else "model")
        super().__init__(name or own, outputs, classes=len(self._found))
        self.estimator, self.pixels = estimator, ArrayPixels.of(normalize, order, layout)
        self._place = {value: place for place, value in enumerate(self._found.tolist())}
        self.class_names, self.strict_names = _names(self._found), True
        self.digest = estimator_digest(estimator)
        if outputs != "auto":
            self._method()
        self._hint()

    def images(self, pixels: NDArray[np.uint8]) -> torch.Tensor:
        # Double precision: thresholds of trees lie between values, and estimators count in it themselves.
        return torch.from_numpy(np.require(pixels, requirements=["C", "W"])).double().div_(255)

    def raw(self, images: torch.Tensor) -> Any:
        if self.outputs == "auto":
            self.choose_outputs(images)
        rows = self._rows(images)
        answer = self._scores(rows)
        if self.outputs == "labels":
            return answer
        # What predict says is the verdict. Where it is not the foremost class (ties of votes, probabilities that were
        # calibrated apart), the two change their scores.
        predicted = self._predicted(rows)
        every = np.arange(len(answer))
        foremost = answer.argmax(axis=1)
        top = answer[every, foremost].copy()
        answer[every, foremost] = answer[every, predicted]
        answer[every, predicted] = top
        return answer

    def fast(self, images: torch.Tensor) -> Any:
        return self._scores(self._rows(images))

    def prepare(self, images: torch.Tensor) -> None:
        if images.shape[1] == 3 and self.pixels.layout == "auto":
            self.note("note: colours go in pixel by pixel (--layout nhwc); --layout nchw is channel by channel")

    def identity(self) -> dict[str, Any]:
        return super().identity() | {"weights": self.digest, "preprocess": self.pixels.identity()}

    def versions(self) -> dict[str, str]:
        import sklearn

        return {"scikit-learn": str(sklearn.__version__)}

    def _rows(self, images: torch.Tensor) -> NDArray[np.float64]:
        """Features ``(N, n_features_in_)`` of images."""
        n, channels, height, width = images.shape
        wanted = getattr(self.estimator, "n_features_in_", None)
        if wanted is not None and wanted != channels * height * width:
            raise InputError(
                f"--model {self.name}",
                f"it takes {wanted} features, and images of {channels} x {height} x {width} have "
                f"{channels * height * width} values",
                "Give images of the size and with the channels that it was fitted on (--resize, --crop).",
            )
        return self.pixels(images).reshape(n, -1)

    def _scores(self, rows: NDArray[np.float64]) -> NDArray[Any]:
        method = self._method()
        if method == "predict":
            return self._predicted(rows)
        with _alone(self.estimator):
            answer = np.asarray(getattr(self.estimator, method)(rows))
        scores = self._as_rows(answer, len(rows)) if method == "decision_function" else answer
        if scores is None or scores.shape != (len(rows), len(self._found)):
            raise TargetError(f"{method} of {self.name} returned shape {answer.shape} for {len(rows)} images")
        return scores.copy()

    def _predicted(self, rows: NDArray[np.float64]) -> NDArray[np.int64]:
        """Places of the predicted classes ``(N,)``."""
        with _alone(self.estimator):
            labels = np.asarray(self.estimator.predict(rows)).ravel().tolist()
        return np.array([self._place[label] for label in labels], np.int64)

    def _as_rows(self, decisions: NDArray[Any], n: int) -> NDArray[Any] | None:
        """A column a class from what decision_function gives: one number an image where there are two classes."""
        if decisions.shape == (n,) and len(self._found) == 2:
            return np.stack([np.zeros(n), decisions], axis=1)
        # Of pairs of classes there are as many as classes, where these are three.
        pairs = getattr(_last(self.estimator), "decision_function_shape", "ovr") == "ovo" and len(self._found) > 2
        return decisions if decisions.shape == (n, len(self._found)) and not pairs else None

    def choose_outputs(self, images: torch.Tensor) -> str | None:
        rows = self._rows(images)
        predicted = self._predicted(rows)
        with _alone(self.estimator):
            answers = {
                name: np.asarray(getattr(self.estimator, name)(rows))
                for name in ("predict_proba", "decision_function")
                if hasattr(self.estimator, name)
            }
        chances, decisions = answers.get("predict_proba"), answers.get("decision_function")
        logits = None if decisions is None else self._as_rows(decisions, len(rows))
        right = {
            name: float((scores.argmax(axis=1) == predicted).mean())
            for name, scores in (("probabilities", chances), ("logits", logits))
            if scores is not None
        }
        if logits is not None and chances is not None and np.allclose(softmax(logits), chances, atol=1e-6):
            # The same, and not yet saturated where probabilities are 0 and 1.
            del right["probabilities"]
        best = max(right, key=lambda name: right[name], default="labels")
        self.outputs = best if right.get(best, 0.0) >= _AGREES else "labels"  # type: ignore[assignment]
        return f"outputs of {self.name}: {self.outputs} ({self._method()} of {type(self.estimator).__name__})"

    def _method(self) -> str:
        """The method of the estimator that gives the scores.

        Raises
        ------
        InputError : there is none.
        """
        method = _METHODS[self.outputs]
        if not hasattr(self.estimator, method):
            right = "SVC needs probability=True for it. " if method == "predict_proba" else ""
            wrong = f"{self.name} has no {method} ({type(self.estimator).__name__})"
            raise InputError(f"--outputs {self.outputs}", wrong, f"{right}Leave --outputs out.")
        return method

    def _hint(self) -> None:
        """Note where it was fitted on values far beyond those that it is given."""
        seen, given = pixels_up_to(self.estimator), self.pixels.largest
        if seen is not None and (seen > 1.5 * given > 0 or (given > 10 and seen <= given / 10)):
            self.note(
                f"warning: {self.name} was fitted on values up to {seen:.4g} or so, and pixels go in up to "
                f"{given:.4g}; say what range it was fitted on, such as --normalize 0..16, 0..255 or 0..1"
            )


def _classes(estimator: Any, what: str) -> NDArray[Any]:
    """``classes_`` of a fitted classifier.

    Raises
    ------
    InputError : there are none, one only, or several outputs.
    """
    kind = type(estimator).__name__
    if not hasattr(estimator, "predict"):
        raise InputError(what, f"a {kind}, which predicts nothing", "Give a classifier, or a pipeline with one.")
    found = getattr(estimator, "classes_", None)
    if found is None:
        from sklearn.base import is_classifier

        if is_classifier(estimator):
            raise InputError(what, f"a {kind} that is not fitted (no classes_)", "Call fit first.")
        raise InputError(what, f"a {kind}, which is no classifier (no classes_)", "Give a classifier.")
    if isinstance(found, list) or getattr(estimator, "multilabel_", False) or np.ndim(found) != 1:
        raise InputError(what, f"a {kind} with several outputs", "Give a classifier of one class an image.")
    if len(found) < 2:
        raise InputError(what, f"a {kind} with {len(found)} class", "A classifier has two or more.")
    array: NDArray[Any] = np.asarray(found)
    return array


def _names(classes: NDArray[Any]) -> tuple[str, ...] | None:
    """Names of the classes; None where these are 0, 1, 2 and so on."""
    numbers = classes.dtype.kind in "biu" or (classes.dtype.kind == "f" and bool((classes == np.floor(classes)).all()))
    if not numbers:
        return tuple(str(name) for name in classes.tolist())
    whole = classes.astype(np.int64)
    return None if np.array_equal(whole, np.arange(len(whole))) else tuple(str(name) for name in whole.tolist())


def _last(estimator: Any) -> Any:
    """The classifier itself of a pipeline or a search over parameters."""
    for name in ("best_estimator_", "_final_estimator"):
        if (inner := getattr(estimator, name, None)) is not None:
            return _last(inner)
    return estimator


@contextlib.contextmanager
def _alone(estimator: Any) -> Iterator[None]:
    """In one thread: with several, trees are summed up in the order in which they end, and rounding differs by run."""
    import joblib

    with joblib.parallel_config(backend="sequential"), warnings.catch_warnings():
        if hasattr(estimator, "feature_names_in_"):
            # Fitted on a table with named columns, and given rows without: their order is all that counts here.
            warnings.filterwarnings("ignore", "X does not have valid feature names")
        yield
