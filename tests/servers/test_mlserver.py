"""A real MLServer on loopback, in an environment of its own (make test-servers), serving shipped nets as ONNX files."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks.same_verdicts import candidates, compare, exported

from pinprick.data.digits import digits
from pinprick.runs.result import Listener
from pinprick.runs.run import run
from pinprick.runs.spec import make_spec
from pinprick.targets.base import Target
from pinprick.targets.calls import Calls
from pinprick.targets.loading import load_target
from pinprick.targets.passes import ask
from pinprick.targets.remote.oip import OipCodec
from pinprick.targets.remote.target import HttpTarget
from pinprick.targets.torch_target import TorchTarget
from tests.chaos import comparable

pytestmark = pytest.mark.servers

HERE = Path(__file__).resolve().parent
MLSERVER = Path(os.environ.get("PINPRICK_MLSERVER", HERE.parents[1] / ".venv-servers" / "bin" / "mlserver"))
STARTS = 120.0
"""Seconds that the server may take to be ready."""


@dataclass(frozen=True)
class Served:
    """The server's address, and the ONNX file that it serves."""

    url: str
    onnx: Path
    net: Target


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


@contextlib.contextmanager
def mlserver(folder: Path, models: dict[str, dict[str, Any]]) -> Iterator[str]:
    """MLServer with these models' settings; gives its address."""
    http, grpc, metrics = free_port(), free_port(), free_port()
    settings = {"host": "127.0.0.1", "http_port": http, "grpc_port": grpc, "metrics_port": metrics, "debug": False}
    (folder / "settings.json").write_text(json.dumps(settings | {"parallel_workers": 0}))
    for name, own in models.items():
        (folder / name).mkdir()
        (folder / name / "model-settings.json").write_text(json.dumps({"name": name} | own))
    # Neither our package nor our environment is in it.
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST", "VIRTUAL_ENV"))
    }
    environment = kept | {"PYTHONPATH": str(HERE), "OMP_NUM_THREADS": "1"}
    with (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen(
            [MLSERVER, "start", str(folder)], cwd=folder, env=environment, stdout=log, stderr=log
        )
        try:
            url, ends = f"http://127.0.0.1:{http}", time.monotonic() + STARTS
            while not all(answers(f"{url}/v2/models/{name}/ready") for name in models):
                said = (folder / "log.txt").read_text()[-3000:]
                assert process.poll() is None, f"MLServer ended:\n{said}"
                assert time.monotonic() < ends, f"MLServer was not ready within {STARTS:.0f} s:\n{said}"
                time.sleep(0.2)
            yield url
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """``cnn-digits``, normalised inside, served twice: with metadata, and without."""
    if not MLSERVER.is_file():
        pytest.skip(f"{MLSERVER} is not there: make test-servers installs it")
    folder = tmp_path_factory.mktemp("mlserver")
    net = load_target("cnn-digits")
    assert isinstance(net, TorchTarget)
    onnx = folder / "cnn-digits.onnx"
    exported(net, onnx)
    runtime = {"implementation": "runtime.OnnxRuntime", "parameters": {"uri": str(onnx), "version": "v1"}}
    told = {
        "inputs": [{"name": "images", "datatype": "FP32", "shape": [-1, 1, 8, 8]}],
        "outputs": [{"name": "scores", "datatype": "FP32", "shape": [-1, 10]}],
    }
    with mlserver(folder, {"digits": runtime | told, "silent": runtime}) as url:
        yield Served(url, onnx, net)


def test_scores_are_the_net_s_own_in_json_which_the_server_takes(served: Served) -> None:
    images = digits("test").stack(range(70))
    target = load_target(f"{served.url}/v2/models/digits", outputs="logits")
    assert isinstance(target, HttpTarget)
    assert target.shape == (1, 8, 8)
    found = ask(target, images, 64)
    own = ask(served.net, images, 64, pad=images[0])
    assert not found.reasons
    assert np.allclose(found.scores, own.scores, rtol=0, atol=1e-4)
    assert target.codec.way == "json"
    assert target.ledger.total().answered == 70
    assert target.ledger.total().retried == 0


def test_binary_tensors_which_the_server_does_not_know_are_given_up_at_once(served: Served) -> None:
    target = load_target(f"{served.url}/v2/models/digits", outputs="logits", calls=Calls(retries=5, concurrency=1))
    assert isinstance(target, HttpTarget)
    assert isinstance(target.codec, OipCodec)
    target.codec.tensors = "binary"
    assert not ask(target, digits("test").stack(range(40)), 64).reasons
    assert target.codec.way == "json"
    # Once in the other way; a connection may break besides.
    assert 16 <= target.ledger.total().retried < 5 * 16


def test_a_model_without_metadata_is_described_by_a_file(served: Served, tmp_path: Path) -> None:
    path = tmp_path / "silent.toml"
    path.write_text(
        f'url = "{served.url}/v2/models/silent/versions/v1"\nprotocol = "v2"\noutputs = "logits"\n'
        '[v2]\ninput = "images"\ndatatype = "FP32"\nlayout = "NCHW"\n'
    )
    images = digits("test").stack(range(10))
    found = ask(load_target(str(path)), images, 64)
    assert np.allclose(found.scores, ask(served.net, images, 64, pad=images[0]).scores, rtol=0, atol=1e-4)


def test_verdicts_on_the_candidates_of_100_images_are_those_of_torch_and_onnx(served: Served) -> None:
    images = candidates(digits("test").stack(range(100)), each=4)
    away = load_target(f"{served.url}/v2/models/digits", outputs="logits")
    here = load_target(str(served.onnx), outputs="logits")
    for reference in (served.net, here):
        found = compare(reference, away, images)
        assert found.images == 100 * 3 * 4
        assert found.differ_not_tied == 0
        assert found.largest < 1e-4


def test_a_run_behind_mlserver_ends_as_one_on_the_file(served: Served, tmp_path: Path) -> None:
    given: dict[str, Any] = {"data": "digits:test", "limit": 10, "budget": 120, "pixels": 3, "outputs": "logits"}
    said: list[str] = []
    away = run(
        make_spec(given | {"model": f"{served.url}/v2/models/digits", "out": tmp_path / "run", "run_budget": 5000}),
        listener=Listener(say=said.append),
    )
    assert away.stopped is None
    assert away.failed == 0
    assert away.ledger is not None
    assert away.ledger["total"]["sent"] <= 5000
    local = run(make_spec(given | {"model": str(served.onnx), "baseline": "none"}))
    status = {key: row["status"] for key, row in comparable(away.table).items()}
    assert status == {key: row["status"] for key, row in comparable(local.table).items()}
    assert set(status.values()) == {"fooled", "held"}
