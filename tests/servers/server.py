"""MLServer on loopback, in an environment of its own (make test-servers, or make bench-forms)."""

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
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
MLSERVER = Path(os.environ.get("PINPRICK_MLSERVER", HERE.parents[1] / ".venv-servers" / "bin" / "mlserver"))
STARTS = 120.0
"""Seconds that the server may take to be ready."""


def served_file(onnx: Path) -> dict[str, Any]:
    """Settings of a model that serves an ONNX file by ``runtime.py``."""
    return {"implementation": "runtime.OnnxRuntime", "parameters": {"uri": str(onnx), "version": "v1"}}


def told(channels: int, height: int, width: int, classes: int) -> dict[str, Any]:
    """Settings by which the server states the model's input and output, for images of this shape."""
    return {
        "inputs": [{"name": "images", "datatype": "FP32", "shape": [-1, channels, height, width]}],
        "outputs": [{"name": "scores", "datatype": "FP32", "shape": [-1, classes]}],
    }


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
