"""Data sets on the Hugging Face Hub, from a loopback server that answers as the Hub does."""

from __future__ import annotations

import hashlib
import io
import json
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pyarrow.parquet as pq
import pytest

from pinprick.data.hub import hub
from pinprick.data.sets import load_images
from pinprick.errors import InputError, UnknownNameError
from tests.data.helpers import Answer, image_table, picture, serving, unreachable

FIVE = [picture(i) for i in range(5)]
COMMIT = "0123456789" * 4


def parquet_bytes(start: int, stop: int) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(image_table(FIVE[start:stop], [0, 1, 2, 1, 0][start:stop]), buffer)
    return buffer.getvalue()


MAIN = {
    "README.md": b"# A set",
    "data/test-00000-of-00002.parquet": parquet_bytes(0, 3),
    "data/test-00001-of-00002.parquet": parquet_bytes(3, 5),
    "data/train-00000-of-00001.parquet": parquet_bytes(0, 1),
}
REPOSITORIES: dict[str, dict[str, Mapping[str, bytes]]] = {
    "owner/set": {"main": MAIN},
    "owner/converted": {
        "main": {"README.md": b"", "images.zip": b"zip"},
        "refs/convert/parquet": {"default/test/0000.parquet": parquet_bytes(0, 5)},
    },
    "owner/empty": {"main": {"README.md": b""}},
    "owner/configs": {"main": {f"{one}/test-00000-of-00001.parquet": parquet_bytes(0, 2) for one in ("big", "small")}},
    "owner/broken": {"main": {"test.parquet": b"no Parquet"}},
}


def answer(method: str, path: str) -> Answer | None:
    """The two addresses that huggingface_hub asks: the list of a repository's files, and a file."""
    parts = unquote(urlsplit(path).path).strip("/").split("/")
    listing = parts[:2] == ["api", "datasets"]
    repository = "/".join(parts[2:4] if listing else parts[1:3])
    if repository == "owner/gated":
        return 403, {"X-Error-Code": "GatedRepo"}, b"{}"
    if repository not in REPOSITORIES:
        return 404, {"X-Error-Code": "RepoNotFound"}, b"{}"
    rest = "/".join(parts[5:] if listing else parts[4:])
    revision = next((one for one in REPOSITORIES[repository] if f"{rest}/".startswith(f"{one}/")), None)
    if revision is None:
        return 404, {"X-Error-Code": "RevisionNotFound"}, b"{}"
    files = REPOSITORIES[repository][revision]
    if listing:
        entries = [{"type": "file", "path": name, "size": len(data), "oid": COMMIT} for name, data in files.items()]
        return 200, {"Content-Type": "application/json"}, json.dumps(entries).encode()
    data = files.get(rest.removeprefix(f"{revision}/"))
    if data is None:
        return 404, {"X-Error-Code": "EntryNotFound"}, b"{}"
    return 200, {"ETag": f'"{hashlib.sha256(data).hexdigest()}"', "X-Repo-Commit": COMMIT}, data


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    huggingface_hub = pytest.importorskip("huggingface_hub", reason="the extra pinprick[hf] is not installed")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with serving(answer) as url:
        yield url
    if hasattr(huggingface_hub, "close_session"):  # from 1.0 on; it holds connections open
        huggingface_hub.close_session()


def test_a_split_of_several_files(endpoint: str, tmp_path: Path) -> None:
    images = hub("hf:owner/set:test", endpoint=endpoint, cache=tmp_path)
    assert images.name == "hf:owner/set:test"
    assert images.classes == ("cat", "dog", "ship")
    assert images.labels is not None
    assert images.labels.tolist() == [0, 1, 2, 1, 0]
    assert np.array_equal(images.stack(), np.stack(FIVE))
    assert len(hub("hf:owner/set:train", endpoint=endpoint, cache=tmp_path)) == 1


def test_the_converted_branch(endpoint: str, tmp_path: Path) -> None:
    assert len(hub("hf:owner/converted", endpoint=endpoint, cache=tmp_path)) == 5


def test_configurations(endpoint: str, tmp_path: Path) -> None:
    assert len(hub("hf:owner/configs/small:test", endpoint=endpoint, cache=tmp_path)) == 2
    with pytest.raises(InputError, match="several configurations: big, small"):
        hub("hf:owner/configs", endpoint=endpoint, cache=tmp_path)


@pytest.mark.parametrize(
    ("source", "wrong"),
    [
        ("hf:owner/none", "no data set 'owner/none' on the Hub, or it is private"),
        ("hf:owner/gated", "terms"),
        ("hf:owner/empty", "no Parquet files, neither on the main branch nor on refs/convert/parquet"),
        ("hf:owner/set", r"several splits \(test, train\)"),
        ("hf:owner/broken:test", "cannot be read"),
        ("hf:set", "not a data set on the Hub"),
        ("hf:owner/../set", "not a data set on the Hub|cannot be fetched|no data set"),
        ("hf:", "not a data set on the Hub"),
    ],
)
def test_errors_of_the_hub(endpoint: str, tmp_path: Path, source: str, wrong: str) -> None:
    with pytest.raises(InputError, match=wrong):
        hub(source, endpoint=endpoint, cache=tmp_path)


def test_unknown_split(endpoint: str, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"there is no 'tset'. Did you mean test"):
        hub("hf:owner/set:tset", endpoint=endpoint, cache=tmp_path)


@pytest.mark.usefixtures("endpoint")
def test_unreachable_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # huggingface_hub waits between its attempts
    with pytest.raises(InputError, match="cannot be fetched from the Hub"):
        hub("hf:owner/set", endpoint=unreachable(), cache=tmp_path)


def test_without_huggingface_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(InputError, match=r"pip install 'pinprick\[hf\]'"):
        load_images("hf:owner/set:test")
