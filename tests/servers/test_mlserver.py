"""A real MLServer on loopback, in an environment of its own (make test-servers), serving shipped nets as ONNX files."""

from __future__ import annotations

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
from tests.servers.server import MLSERVER, mlserver, served_file, told

pytestmark = pytest.mark.servers


@dataclass(frozen=True)
class Served:
    """The server's address, and the ONNX file that it serves."""

    url: str
    onnx: Path
    net: Target


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
    runtime = served_file(onnx)
    with mlserver(folder, {"digits": runtime | told(1, 8, 8, 10), "silent": runtime}) as url:
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
    given: dict[str, Any] = {"data": "digits:test", "limit": 10, "budget": 120, "pixels": 1, "outputs": "logits"}
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
