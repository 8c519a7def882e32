"""Looking into scikit-learn's estimators: what tells one from another, and what pixel values it was fitted on."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

_PLAIN = (bool, int, float, complex, str, bytes, type(None), np.generic)
_DEEPEST = 50


def estimator_digest(estimator: Any) -> str:
    """BLAKE2b of an estimator's class, parameters and fitted state; the same however it was stored and read.

    Pickles of one estimator differ from process to process (unused bytes between the fields of a tree's nodes), so its
    state is walked through instead. Of functions the name counts, of generators of random numbers nothing.
    """
    digest = hashlib.blake2b(digest_size=16)
    _feed(digest.update, estimator, [])
    return digest.hexdigest()


def _feed(update: Callable[[bytes], None], value: Any, above: list[int]) -> None:
    """Feed a value and what it holds; ``above`` are the objects that it lies in, by id."""
    if isinstance(value, _PLAIN):
        update(f"{type(value).__name__} {value!r};".encode())
    elif id(value) in above or len(above) > _DEEPEST:
        update(b"above;")
    elif isinstance(value, np.ndarray):
        update(f"array {value.shape} {value.dtype.names or value.dtype.str};".encode())
        if value.dtype.names:
            for name in value.dtype.names:
                _feed(update, np.ascontiguousarray(value[name]), above)
        elif value.dtype == object:
            _feed(update, value.ravel().tolist(), above)
        else:
            update(np.ascontiguousarray(value).tobytes())
    else:
        inside = [*above, id(value)]
        update(f"{type(value).__module__}.{type(value).__qualname__}(".encode())
        for part in _parts(value):
            _feed(update, part, inside)
        update(b");")


def _parts(value: Any) -> list[Any]:
    """What a value is made of, in an order of its own."""
    if isinstance(value, dict):
        items = sorted(value.items(), key=lambda item: str(item[0]))
        return [part for name, one in items if name != "random_state" for part in (name, one)]
    if isinstance(value, list | tuple):
        return list(value)
    if isinstance(value, set | frozenset):
        return sorted(value, key=repr)
    if isinstance(name := getattr(value, "__qualname__", None), str):  # a function or a class
        return [str(getattr(value, "__module__", "")), name]
    made: Any = ()
    if not isinstance(value, np.random.RandomState | np.random.Generator):
        # What cannot be stored has no state to tell it by.
        with contextlib.suppress(Exception):
            made = value.__reduce_ex__(2)
    return list(made[1:3]) if isinstance(made, tuple) else [made]


def pixels_up_to(estimator: Any) -> float | None:
    """The largest input value that a fitted estimator is known to have seen, or nearly so; None where it does not show.

    Told by thresholds of trees, support vectors, stored neighbours, and what scalers and naive Bayes remember. Of a
    pipeline only the first step counts, since later ones see no pixels.
    """
    steps = getattr(estimator, "steps", None)
    if isinstance(steps, list) and steps:
        return pixels_up_to(steps[0][1])
    found: list[float] = []
    for name in ("data_max_", "support_vectors_", "_fit_X", "centroids_", "theta_", "mean_"):
        found += _largest(getattr(estimator, name, None))
    if (tree := getattr(estimator, "tree_", None)) is not None:
        found += _largest(tree.threshold)
    for name in ("best_estimator_", "estimator_"):
        if (inner := getattr(estimator, name, None)) is not None:
            found += [most for most in [pixels_up_to(inner)] if most is not None]
    # A few trees tell as much as all of them.
    several = getattr(estimator, "estimators_", [])
    # Boosting has an array of them. A forest among others is a list of trees itself, which NumPy would take apart.
    for inner in list(several.ravel() if isinstance(several, np.ndarray) else several)[:10]:
        found += [most for most in [pixels_up_to(inner)] if most is not None]
    return max(found, default=None)


def _largest(values: Any) -> list[float]:
    if values is None or not hasattr(values, "max"):
        return []
    array: NDArray[Any] = np.asarray(values.toarray() if hasattr(values, "toarray") else values)
    return [float(array.max())] if array.size and array.dtype.kind in "iuf" else []
