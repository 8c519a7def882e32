"""Chaos: a run against an endpoint that misbehaves, beside the same run undisturbed.

``python -m tests.chaos`` (make chaos) runs the long version and prints a table; tests/runs/test_chaos.py the short one.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from pinprick.runs.run import run
from pinprick.runs.spec import make_spec
from pinprick.runs.store import read_outcomes
from pinprick.targets.ledger import Counts, read_ledger
from tests.servers_http import V2, Reply, digits_scores, serving, tensor_reply

Images = NDArray[np.float32]
LARGEST = 200_000
"""Bytes of an answer here."""


@dataclass(frozen=True)
class Size:
    """How much of it: images, questions a unit, the share of requests that are disturbed."""

    images: int
    budget: int
    share: float
    retries: int
    timeout: float


SHORT = Size(images=6, budget=40, share=0.3, retries=8, timeout=0.3)
LONG = Size(images=15, budget=120, share=0.2, retries=8, timeout=1.0)
BATCH = 8
"""Images a request."""


def hurt(reply: Callable[[Images], Reply], share: float, seed: list[int]) -> Callable[[int, Images], Reply | None]:
    """A fault that befalls each request for itself, by chance."""

    def fault(number: int, images: Images) -> Reply | None:
        return reply(images) if np.random.default_rng([*seed, number]).random() < share else None

    return fault


def text(content: str) -> Callable[[Images], Reply]:
    return lambda images: Reply(content=content.encode())


def tensor(change: Callable[[NDArray[np.float32]], NDArray[Any]], **options: Any) -> Callable[[Images], Reply]:
    return lambda images: tensor_reply(change(digits_scores(images)), **options)


def nan_row(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    rows = rows.copy()
    rows[0, 3] = np.nan
    return rows


def cut(images: Images) -> Reply:
    whole = tensor_reply(digits_scores(images))
    return Reply(content=whole.content, headers=whole.headers, cut=len(whole.content) // 2)


def cut_text(images: Images) -> Reply:
    return Reply(content=tensor_reply(digits_scores(images)).content[:-20])


def cut_tensor(images: Images) -> Reply:
    whole = tensor_reply(digits_scores(images), binary=True)
    return Reply(content=whole.content[:-7], headers=whole.headers)


STALL = threading.Event()
"""Never set while a fault is on."""


FAULTS: dict[str, Callable[[Images], Reply]] = {
    "429, Retry-After": lambda images: Reply(429, b"slow down", {"Retry-After": "0"}),
    "500": lambda images: Reply(500, b'{"error": "oops"}'),
    "503 with a page": lambda images: Reply(503, b"<html>maintenance</html>" * 50),
    "stalls": lambda images: Reply(stall=STALL),
    "closes at once": lambda images: Reply(drop=True),
    "closes half-way": cut,
    "NaN in a row": tensor(nan_row),
    "a class too many": tensor(lambda rows: np.concatenate([rows, rows[:, :1]], 1)),
    "a class too few": tensor(lambda rows: rows[:, :-1]),
    "a row too many": tensor(lambda rows: np.concatenate([rows, rows[:1]])),
    "flat": tensor(lambda rows: rows.ravel()),
    "another output": tensor(lambda rows: rows, name="other"),
    "HTML": text("<!doctype html><title>Sign in</title>"),
    "no content": text(""),
    "JSON cut off": cut_text,
    "a tensor cut off": cut_tensor,
    "huge JSON": text('{"outputs": [' + "0," * LARGEST + "0]}"),
    "deep JSON": text("[" * 50_000 + "]" * 50_000),
    "strings for numbers": text(
        '{"outputs": [{"name": "scores", "datatype": "FP32", "shape": [1, 2], "data": ["a", 1]}]}'
    ),
}


def changing(after: int) -> Callable[[V2], Callable[[Images], NDArray[Any]]]:
    """A model that becomes another one after so many requests."""

    def classify_of(server: V2) -> Callable[[Images], NDArray[Any]]:
        return lambda images: digits_scores(images) * np.float32(0.97 if len(server.requests) > after else 1)

    return classify_of


@dataclass(frozen=True)
class Line:
    """What came of one fault."""

    fault: str
    requests: int
    sent: int
    right: int
    failed: int
    wrong: int
    missing: int
    stopped: str | None
    adds_up: bool
    mended: bool
    """Whether the same command, once the endpoint is well, ends with the undisturbed table."""
    reasons: tuple[str, ...]


@contextlib.contextmanager
def hurried() -> Iterator[None]:
    """Pauses of milliseconds, and a small limit of what an answer may hold."""
    wire = "pinprick.targets.remote.wire"
    with mock.patch(f"{wire}.FIRST_PAUSE", 0.002), mock.patch(f"{wire}.LARGEST_ANSWER", LARGEST):
        yield


def adds_up(counts: Counts) -> bool:
    """Whether a ledger's counts are what their definition says."""
    ends = counts.remembered + counts.cached + counts.answered + counts.failed + counts.cut + counts.lost
    tries = counts.sent - counts.retried - counts.answered - counts.failed
    return counts.asked == ends and 0 <= tries <= counts.lost


def comparable(table: Any) -> dict[str, dict[str, Any]]:
    """Outcomes by key, without how often images were sent."""
    return {row["key"]: {name: value for name, value in row.items() if name != "answered"} for row in table.to_pylist()}


def attack(url: str, out: Path, size: Size, **fields: Any) -> Any:
    """One run, in ``out``."""
    given = {
        "model": f"{url}/v2/models/digits",
        "data": "digits:test",
        "outputs": "logits",
        "limit": size.images,
        "budget": size.budget,
        "pixels": 2,
        "batch_size": BATCH,
        "retries": size.retries,
        "timeout": size.timeout,
        "out": out,
    }
    return run(make_spec(given | fields))


def undisturbed(folder: Path, size: Size) -> dict[str, dict[str, Any]]:
    """Outcomes of the run that nothing disturbs."""
    with serving(V2()) as url, hurried():
        return comparable(attack(url, folder / "undisturbed", size).table)


def one(name: str, folder: Path, size: Size, wanted: dict[str, dict[str, Any]], *, seed: int = 0) -> Line:
    """Run with one fault, compare, and run again without it."""
    server = V2()
    # The unchanged images first: which are attacked depends on them.
    quiet = 1 + -(-size.images // BATCH)
    if name == "the model changes":
        server.classify = changing(quiet + 12)(server)
    elif name == "goes away":
        server.fault = lambda number, images: Reply(503, b"gone") if number > quiet + 12 else None
    else:
        fault = hurt(FAULTS[name], size.share, [seed, *name.encode()])
        server.fault = lambda number, images: fault(number, images) if number > quiet else None
    out = folder / name.replace(" ", "-").replace(",", "")
    STALL.clear()
    with serving(server) as url, hurried():
        try:
            result = attack(url, out, size)
            found = comparable(read_outcomes(out))
            counts = read_ledger(out / "ledger.jsonl")
            requests = len(server.requests)
            server.fault, server.classify = (lambda number, images: None), digits_scores
            mended = comparable(attack(url, out, size, retry_failed=True).table) == wanted
        finally:
            STALL.set()
    failed = [row for row in found.values() if row["status"] == "failed"]
    right = [key for key, row in found.items() if row["status"] != "failed" and row == wanted.get(key)]
    return Line(
        fault=name,
        requests=requests,
        sent=sum(each.sent for each in counts.values()),
        right=len(right),
        failed=len(failed),
        wrong=len(found) - len(failed) - len(right),
        missing=len(wanted) - len(found),
        stopped=result.stopped,
        adds_up=all(adds_up(each) for each in counts.values()),
        mended=mended,
        reasons=tuple(sorted({str(row["reason"]) for row in failed})),
    )


ENDS = ("the model changes", "goes away")
"""Faults that end a run."""


def main() -> None:
    """Print the table of the long version; ends with 1 where a row is wrong or a ledger does not add up."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    size = SHORT if given.short else LONG
    lines, said = [], []
    with tempfile.TemporaryDirectory() as place:
        wanted = undisturbed(Path(place), size)
        sys.stdout.write(f"{len(wanted)} units of {size.budget} questions, {size.share:.0%} of requests disturbed\n\n")
        head = (
            "fault",
            "requests",
            "images sent",
            "units right",
            "failed",
            "not begun or cut",
            "wrong rows",
            "adds up",
            "mended",
            "s",
        )
        sys.stdout.write("| " + " | ".join(head) + " |\n" + "| --- " * len(head) + "|\n")
        for seed in range(given.seeds):
            for name in (*FAULTS, *ENDS):
                started = time.perf_counter()
                folder = Path(place) / str(seed)
                line = one(name, folder, size, wanted, seed=seed)
                lines.append(line)
                cells = (name, line.requests, line.sent, line.right, line.failed, line.missing, line.wrong)
                checks = ("yes" if line.adds_up else "NO", "yes" if line.mended else "NO")
                seconds = f"{time.perf_counter() - started:.1f}"
                sys.stdout.write("| " + " | ".join(map(str, (*cells, *checks, seconds))) + " |\n")
                sys.stdout.flush()
                said += [f"{name}: {reason}" for reason in (line.stopped, *line.reasons) if reason]
        sys.stdout.write("\nWhy units failed, and runs ended:\n\n" + "".join(f"- {one}\n" for one in said))
    if given.json:
        given.json.write_text(json.dumps([vars(line) for line in lines], indent=1))
    if any(line.wrong or not line.adds_up or not line.mended for line in lines):
        sys.exit(1)


if __name__ == "__main__":
    main()
