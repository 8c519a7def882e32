"""What the tests of image sets share: pictures, Parquet files, a small web server, the real data."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image as PILImage

from pinprick.data.decode import encode_png
from pinprick.data.image_set import Image

REAL_DATA = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"


def real_data(name: str) -> Path:
    """A file of the real data that lies beside the repository; skips the test where it is missing."""
    path = REAL_DATA / name
    if not path.is_file():
        pytest.skip(f"the real data set {name} is not beside this repository (../shared/data)")
    return path


def picture(seed: int = 0, *, channels: int = 3, height: int = 6, width: int = 8) -> Image:
    """Random pixels ``(C, H, W)``."""
    return np.random.default_rng(seed).integers(0, 256, (channels, height, width), dtype=np.uint8)


def saved(image: PILImage.Image, form: str, **options: Any) -> bytes:
    """The bytes of a Pillow image in a format."""
    buffer = io.BytesIO()
    image.save(buffer, format=form, **options)
    return buffer.getvalue()


def write_pngs(folder: Path, names: Sequence[str]) -> dict[str, Image]:
    """A different PNG under each name; returns the pixels."""
    pixels = {name: picture(seed) for seed, name in enumerate(names)}
    for name, image in pixels.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(encode_png(image))
    return pixels


def image_table(
    images: Sequence[Image | None],
    labels: Sequence[int | None] | None,
    *,
    classes: Sequence[str] | None = ("cat", "dog", "ship"),
    paths: Sequence[str | None] | None = None,
    column: str = "image",
    label: str = "label",
) -> pa.Table:
    """A table as the ``datasets`` library writes it."""
    rows = [
        {"bytes": None if image is None else encode_png(image), "path": paths[row] if paths else None}
        for row, image in enumerate(images)
    ]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    columns: dict[str, pa.Array] = {column: pa.array(rows, type=kind)}
    features: dict[str, Any] = {column: {"_type": "Image"}}
    if labels is not None:
        columns[label] = pa.array(labels, type=pa.int64())
        features[label] = {"_type": "Value", "dtype": "int64"}
        if classes is not None:
            features[label] = {"_type": "ClassLabel", "names": list(classes)}
    metadata = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    return pa.table(columns).replace_schema_metadata(metadata)


def write_parquet(path: Path, table: pa.Table, *, group: int = 2) -> Path:
    """Write a table in row groups of ``group`` rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=group)
    return path


Answer = tuple[int, Mapping[str, str], bytes]
"""Status, headers and body of a response."""


@contextmanager
def serving(answer: Callable[[str, str], Answer | None]) -> Iterator[str]:
    """A web server on the loopback address; ``answer(method, path)`` gives the response, None is a 404."""

    class Handler(BaseHTTPRequestHandler):
        def _respond(self) -> None:
            status, headers, body = answer(self.command, self.path) or (404, {}, b"not found")
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(body))} | dict(headers)).items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_HEAD = _respond  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def serving_files(files: Mapping[str, bytes]) -> Iterator[str]:
    """A web server with these files, by name."""

    def answer(method: str, path: str) -> Answer | None:
        body = files.get(path.lstrip("/"))
        return None if body is None else (200, {}, body)

    with serving(answer) as url:
        yield url


def unreachable() -> str:
    """The address of a server that is gone."""
    with serving_files({}) as url:
        pass
    return url
