"""Runs on a model behind HTTP: outcomes of a local one, budgets that hold, and nothing asked twice after a crash."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from pinprick.cli.app import app
from pinprick.data.digits import digits
from pinprick.errors import HaltError, InputError
from pinprick.report.page import write_report
from pinprick.runs.result import Listener, RunResult
from pinprick.runs.run import run
from pinprick.runs.spec import make_spec
from pinprick.runs.store import read_outcomes
from pinprick.targets.callable_target import CallableTarget
from pinprick.targets.calls import Calls
from pinprick.targets.ledger import read_ledger
from pinprick.targets.loading import load_target
from pinprick.targets.remote import wire
from pinprick.targets.remote.target import HttpTarget
from tests.chaos import adds_up, comparable
from tests.conftest import digits_net, digits_target
from tests.servers_http import V2, Reply, digits_scores, serving

LOCAL: dict[str, Any] = {"data": "digits:test", "limit": 6, "budget": 60, "pixels": 2}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "FIRST_PAUSE", 0.001)


def fields(url: str, out: Path | None = None, **more: Any) -> dict[str, Any]:
    own = {"model": f"{url}/v2/models/digits", "outputs": "logits", "timeout": 10.0, "out": out}
    return LOCAL | own | more


def remote(url: str, out: Path | None = None, say: Any = None, **more: Any) -> RunResult:
    listener = Listener() if say is None else Listener(say=say)
    return run(make_spec(fields(url, out, **more)), listener=listener)


@pytest.fixture(scope="module")
def undisturbed() -> dict[str, dict[str, Any]]:
    """The outcomes of the same run on the model itself."""
    spec = make_spec(LOCAL | {"model": "digits-net", "engine": "dense", "baseline": "none"})
    return comparable(run(spec, target=digits_target(), images=digits("test")).table)


def images_of(server: V2) -> int:
    """Images that a server was sent."""
    return sum(n for _, n in server.requests)


def test_outcomes_are_those_of_the_model_itself(undisturbed: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    server = V2()
    said: list[str] = []
    with serving(server) as url:
        result = remote(url, tmp_path / "run", said.append)
    assert comparable(result.table) == undisturbed
    assert any("no random search beside" in line for line in said)
    ledger = read_ledger(tmp_path / "run" / "ledger.jsonl")
    assert all(adds_up(counts) for counts in ledger.values())
    assert sum(counts.sent for counts in ledger.values()) == images_of(server)
    assert ledger["units"].asked == sum(result.table["asked"].to_pylist())
    assert ledger["units"].sent == sum(result.table["answered"].to_pylist())
    assert 6 <= ledger["unchanged"].asked <= 12, "no more than will do"
    assert ledger["canary"].answered >= 2
    assert result.ledger is not None
    assert result.ledger["total"]["sent"] == images_of(server)
    stored = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert stored["ledger"] == result.ledger
    assert stored["stopped"] is None
    assert not (tmp_path / "run" / "answers").exists(), "of no use once every unit has ended"
    shown = CliRunner().invoke(app, ["summary", str(tmp_path / "run")])
    assert re.search(rf"^total +{result.ledger['total']['asked']} ", shown.stdout, re.MULTILINE)
    told = json.loads(CliRunner().invoke(app, ["summary", str(tmp_path / "run"), "--json"]).stdout)
    assert told["runs"][0]["ledger"] == result.ledger
    page = write_report(tmp_path / "run").path.read_text()
    assert "What was asked of the model" in page
    assert f'<td class="n">{result.ledger["canary"]["asked"]}</td>' in page


def test_a_target_that_is_used_again_is_counted_anew(undisturbed: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    """A folder's ledger and a run's budget are about that run, whatever else its target was asked."""
    server = V2()
    with serving(server) as url:
        target = load_target(f"{url}/v2/models/digits", outputs="logits", calls=Calls(timeout=10, retries=0))
        target.answers(digits("test").stack([0, 1]), 2, fresh=True)
        before = images_of(server)
        first = run(make_spec(fields(url, tmp_path / "a", limit=2)), target=target)
        once = images_of(server) - before
        again = run(make_spec(fields(url, tmp_path / "b", limit=2, run_budget=2 * 60 + 2 + 20)), target=target)
        assert again.stopped is None
        assert first.ledger == again.ledger
        assert first.ledger is not None
        assert first.ledger["total"]["sent"] == once
        run(make_spec(fields(url, tmp_path / "b")), target=target)
        assert sum(each.sent for each in read_ledger(tmp_path / "b" / "ledger.jsonl").values()) == (
            images_of(server) - before - once
        )
        assert all(adds_up(each) for each in read_ledger(tmp_path / "b" / "ledger.jsonl").values())
        assert comparable(read_outcomes(tmp_path / "b")) == undisturbed
        assert isinstance(target, HttpTarget)
        assert target.ledger.total().sent == 2, "its own again, with what it was asked by itself"


def test_a_run_that_is_interrupted_in_a_session_that_goes_on_sends_nothing_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a notebook: what waits to be sent again would otherwise go on, and be booked nowhere."""
    monkeypatch.setattr(wire, "FIRST_PAUSE", 0.4)
    server, reached = V2(), threading.Event()

    def fault(number: int, images: Any) -> Reply | None:
        if number <= 6:
            return None
        reached.set()
        return Reply(503, b"busy")

    server.fault = fault

    def interrupt() -> None:
        assert reached.wait(60)
        time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGINT)

    with serving(server) as url:
        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            remote(url, tmp_path / "run", retries=20)
        thread.join()
        sent = images_of(server)
        time.sleep(1)
        assert images_of(server) == sent
    counts = read_ledger(tmp_path / "run" / "ledger.jsonl")
    assert sum(each.sent for each in counts.values()) == sent
    assert all(adds_up(each) for each in counts.values())


def test_a_random_baseline_runs_where_it_is_asked_for() -> None:
    with serving(V2()) as url:
        assert {row.attack for row in remote(url, limit=2, budget=8, baseline="random").rows} == {"few-pixel", "random"}
    function = CallableTarget(lambda images: digits_net()(images).detach(), "logits", remote=True)
    spec = make_spec(LOCAL | {"model": "x", "limit": 2, "budget": 8})
    result = run(spec, target=function, images=digits("test"))
    assert {row.attack for row in result.rows} == {"few-pixel"}
    assert result.ledger is not None
    assert result.ledger["total"]["sent"] > 2 * 2


@pytest.mark.parametrize("budget", [5, 7, 72, 140])
def test_a_run_s_budget_holds_and_cuts_no_unit(
    budget: int, undisturbed: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    server = V2()
    with serving(server) as url:
        try:
            stopped = remote(url, tmp_path / "run", run_budget=budget).stopped
        except HaltError as error:
            # Before the first unit.
            stopped = str(error)
        assert images_of(server) <= budget
        assert stopped is not None
        assert f"--run-budget {budget}: " in stopped
        assert "a larger one goes on" in stopped
        begun = comparable(read_outcomes(tmp_path / "run")) if (tmp_path / "run/manifest.json").exists() else {}
        assert begun.items() <= undisturbed.items()
        result = remote(url, tmp_path / "run", run_budget=5000)
        assert result.stopped is None
        assert comparable(result.table) == undisturbed
        ledger = read_ledger(tmp_path / "run" / "ledger.jsonl")
        assert sum(counts.sent for counts in ledger.values()) == images_of(server)
        assert all(adds_up(counts) for counts in ledger.values())
        assert ledger["units"].cut == ledger["units"].lost == 0


def test_a_budget_for_a_local_model_holds_too(undisturbed: dict[str, dict[str, Any]]) -> None:

    def counted(images: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            scores: torch.Tensor = digits_net()(images)
        return scores

    spec = make_spec(LOCAL | {"model": "x", "baseline": "none", "run_budget": 150})
    result = run(spec, target=CallableTarget(counted, "logits"), images=digits("test"))
    assert result.stopped is not None
    assert result.ledger is not None
    assert result.ledger["total"]["sent"] <= 150
    assert 0 < len(result.table) < 6
    assert comparable(result.table).items() <= undisturbed.items()


def test_images_that_fail_more_often_than_the_budget_allows_cut_units_which_run_later(
    undisturbed: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    server = V2()
    server.fault = lambda number, images: Reply(503) if number > 6 and number % 2 else None
    with serving(server) as url:
        stopped = remote(url, tmp_path / "run", run_budget=160).stopped
        assert stopped is not None
        assert images_of(server) <= 160
        server.fault = lambda number, images: None
        before = images_of(server)
        result = remote(url, tmp_path / "run", run_budget=3000)
        assert comparable(result.table) == undisturbed
    ledger = read_ledger(tmp_path / "run" / "ledger.jsonl")
    assert all(adds_up(counts) for counts in ledger.values())
    assert before < images_of(server)


KILLED = """
import os, sys
from pinprick.runs.run import run
from pinprick.runs.spec import make_spec
run(make_spec({fields!r}))
"""


def test_a_process_that_is_killed_loses_nothing_that_was_answered(
    undisturbed: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    server, out = V2(), tmp_path / "run"
    reached = threading.Event()

    def fault(number: int, images: Any) -> Reply | None:
        if number >= 12:
            reached.set()
            time.sleep(0.05)
        return None

    server.fault = fault
    with serving(server) as url:
        given = fields(url, None) | {"out": str(out)}
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED.format(fields=given)], env=os.environ | {"OMP_NUM_THREADS": "1"}
        )
        try:
            assert reached.wait(100)
            time.sleep(0.1)
        finally:
            process.kill()
            process.wait()
        time.sleep(0.2)
        first = images_of(server)
        assert (out / "answers" / "answers.sqlite").is_file()
        with (out / "ledger.jsonl").open("a") as file:
            file.write('{"for": "uni')
        result = remote(url, out)
        assert comparable(result.table) == undisturbed
        counts = read_ledger(out / "ledger.jsonl")
        sent = sum(each.sent for each in counts.values())
        assert images_of(server) <= sent, "what was on its way may not have arrived"
        assert sent - images_of(server) <= 4 * 16
        assert counts["units"].cached > 0
        assert all(adds_up(each) for each in counts.values())
        clean = 12 + 16
        fresh = server.requests[-1]
        assert images_of(server) - first < sum(row["asked"] for row in undisturbed.values()) + clean
        assert fresh[1] == 1, "a canary is the last"


COMMAND = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from pinprick.cli.main import main
main()
"""


def test_ctrl_c_does_not_wait_for_an_endpoint_that_stalls(tmp_path: Path) -> None:
    server, reached, end = V2(), threading.Event(), threading.Event()

    def fault(number: int, images: Any) -> Reply | None:
        if number <= 6:
            return None
        reached.set()
        return Reply(stall=end)

    server.fault = fault
    with serving(server) as url:
        line = ["attack", "--model", f"{url}/v2/models/digits", "--data", "digits:test", "--outputs", "logits"]
        line += ["--limit", "4", "--budget", "60", "--timeout", "300", "--out", str(tmp_path / "run")]
        process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, *line],
            stderr=subprocess.PIPE,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            text=True,
        )
        try:
            assert reached.wait(100)
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=60)
        finally:
            end.set()
            process.kill()
    assert process.returncode == 130, said
    assert re.search(r"interrupted after \d units; the same command continues", said)
    ended = int(re.findall(r"interrupted after (\d)", said)[0])
    left_out = re.findall(r"(\d) outcomes? since it was last seen the same (?:is|are) left out", said)
    assert len(read_outcomes(tmp_path / "run")) == ended - sum(map(int, left_out))
    assert "Traceback" not in said


def test_a_model_that_changed_between_two_sessions_is_refused(tmp_path: Path) -> None:
    server = V2()
    with serving(server) as url:
        remote(url, tmp_path / "run", limit=2)
        server.classify = lambda images: digits_scores(images) * np.float32(0.97)
        with pytest.raises(InputError, match="the model answers otherwise than when this run was begun"):
            remote(url, tmp_path / "run", limit=3)


def test_answers_may_be_kept_for_other_runs_and_are_forgotten_with_the_model(tmp_path: Path) -> None:
    server, cache = V2(), tmp_path / "cache"
    given: dict[str, Any] = {"limit": 3, "answer_cache": str(cache)}
    with serving(server) as url:
        first = remote(url, **given)
        again = remote(url, tmp_path / "run", **given)
        assert comparable(again.table) == comparable(first.table)
        assert again.ledger is not None
        units = again.ledger["units"]
        assert units["cached"] > 0
        assert units["answered"] == sum(1 for _ in again.table["key"]), "only the verifying pass goes past what is kept"
        server.classify = lambda images: digits_scores(images) * np.float32(0.9)
        other = remote(url, **given)
        assert other.ledger is not None
        assert other.ledger["units"]["cached"] == 0
        server.classify = digits_scores
        back = remote(url, **given)
        assert back.ledger is not None
        assert back.ledger["units"]["cached"] == units["cached"]
    assert (cache / "answers.sqlite").is_file()


def test_answers_are_kept_nowhere_where_none_is_said(tmp_path: Path) -> None:
    server = V2()
    with serving(server) as url:
        remote(url, tmp_path / "run", limit=1, run_budget=70, answer_cache="none")
        assert not (tmp_path / "run" / "answers").exists()


def test_a_damaged_file_of_answers_or_ledger_is_told(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "answers.sqlite").write_bytes(b"no data base" * 100)
    with serving(V2()) as url:
        with pytest.raises(InputError, match=r"kept answers .*answers.sqlite: cannot be used .*Move it away"):
            remote(url, limit=1, answer_cache=str(tmp_path / "cache"))
        remote(url, tmp_path / "run", limit=1)
        for line in ("nonsense", '{"for": "units", "asked": -1}', '{"for": "x"}', "[]", '{"for": "units", "told": 1}'):
            (tmp_path / "run" / "ledger.jsonl").write_text(line + "\n")
            with pytest.raises(InputError, match=r"ledger .*ledger.jsonl: cannot be read .*Move it away"):
                remote(url, tmp_path / "run", limit=2)


def test_a_secret_is_nowhere_in_what_a_run_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The endpoint repeats the secret in every error that it gives."""
    monkeypatch.setenv("PINPRICK_TEST_TOKEN", "s3cret-token")
    server = V2()
    said: list[str] = []
    server.fault = lambda number, images: Reply(400, server.seen[-1]["Authorization"].encode()) if number > 6 else None
    with serving(server) as url:
        result = remote(url, tmp_path / "run", said.append, auth_env="PINPRICK_TEST_TOKEN", retries=0, save_images=True)
    assert all(headers["Authorization"] == "Bearer s3cret-token" for headers in server.seen)
    assert result.stopped is not None
    assert "[hidden]" in result.stopped
    for path in (tmp_path / "run").rglob("*"):
        assert not path.is_file() or b"s3cret" not in path.read_bytes(), path
    printed = capfd.readouterr()
    assert "s3cret" not in f"{said} {result} {result.as_dict()} {printed}"
    assert "PINPRICK_TEST_TOKEN" in (tmp_path / "run" / "manifest.json").read_text()


def test_how_it_is_asked_is_no_part_of_what_a_run_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PINPRICK_TEST_TOKEN", "s3cret-token")
    with serving(V2()) as url:
        remote(url, tmp_path / "run", limit=1)
        how: dict[str, Any] = {"timeout": 5, "retries": 1, "rate": 1e5, "concurrency": 2, "run_budget": 10_000}
        result = remote(url, tmp_path / "run", limit=2, auth_env="PINPRICK_TEST_TOKEN", answer_cache="none", **how)
    assert len(result.table) == 2
