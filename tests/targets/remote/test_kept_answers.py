"""Answers that are kept on disk: what is damaged, or of another model, is never given for an answer."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pinprick.errors import InputError
from pinprick.targets.calls import Calls
from pinprick.targets.loading import load_target
from pinprick.targets.remote.answers import FILE, KeptAnswers
from pinprick.targets.remote.target import HttpTarget
from tests.servers_http import V2, digits_scores, serving

IMAGE = np.zeros((1, 8, 8), np.uint8)


def begun(folder: Path, row: NDArray[np.float32], *, then: str = "") -> KeptAnswers:
    """Kept answers with one canary and one answer; ``then``: what is done to the file."""
    kept = KeptAnswers(folder, {"url": "x"})
    kept.begin([(IMAGE, row)])
    kept.put(IMAGE[None], [row])
    kept.confirm()
    kept.close()
    with sqlite3.connect(folder / FILE) as base:
        base.executescript(then)
    base.close()
    return KeptAnswers(folder, {"url": "x"})


@pytest.mark.parametrize(
    "then",
    [
        *(f"UPDATE answer SET scores = {value}" for value in ("x'00'", "x''", "'f'", "5", "x'66000000'", "x'66'")),
        *(f"UPDATE canary SET shape = {value}" for value in ("'[64]'", "'[1e9]'", "'[1,8,'", "5")),
        *(f"UPDATE canary SET scores = {value}" for value in ("'f'", "x'66'", "5")),
        "UPDATE canary SET pixels = 'text'",
        "DROP TABLE answer; CREATE TABLE answer (x)",
        "DROP TABLE generation; CREATE TABLE generation (id, endpoint);"
        """INSERT INTO generation VALUES ('a', '{"url": "x"}')""",
    ],
)
def test_a_file_with_other_values_in_it_is_told(then: str, tmp_path: Path) -> None:
    kept = begun(tmp_path, np.ones(3, np.float32), then=then)

    def read() -> None:
        for generation in kept.generations():
            kept.canaries(generation)
            kept.go_on(generation)
            kept.get(IMAGE[None])

    with pytest.raises(InputError, match=r"kept answers .*answers.sqlite: .*Move it away"):
        read()
    kept.close()


@pytest.mark.parametrize("row", [np.ones(3), np.ones(11), np.full(10, np.nan), np.full(10, np.inf)])
def test_what_could_be_no_answer_of_the_model_is_asked_for_again(row: NDArray[np.float64], tmp_path: Path) -> None:
    server = V2()
    kept = begun(tmp_path, row.astype(np.float32))
    kept.go_on(kept.generations()[0])
    with serving(server) as url:
        target = load_target(f"{url}/v2/models/digits", outputs="logits", calls=Calls(timeout=5, retries=0))
        assert isinstance(target, HttpTarget)
        target.kept = kept
        found = target.answers(IMAGE[None], 1, fresh=False)
        again = target.answers(IMAGE[None], 1, fresh=False)
    kept.close()
    right = digits_scores(IMAGE[None].astype(np.float32))
    assert np.array_equal(found.scores, right)
    assert np.array_equal(again.scores, right)
    assert len(server.requests) == 1, "what was answered is kept in the place of it"
    assert target.ledger.total().cached == 1
