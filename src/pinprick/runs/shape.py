"""The shape of a stored manifest: what a run that continues reads of it must be there, and of the right kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pinprick.attacks.arguments import LARGEST_ROWS
from pinprick.errors import InputError


class _Part(BaseModel):
    # True is no number of rows, and "64" none either.
    model_config = ConfigDict(strict=True)


class _What(_Part):
    spec: dict[str, Any]
    attacks: dict[str, Any]
    target: dict[str, Any]
    data: str


class _Passes(_Part):
    rows: int = Field(ge=1, le=LARGEST_ROWS)


class _Clean(_Part):
    images: int = Field(ge=0)
    attacked: int = Field(ge=0)


class _Manifest(_Part):
    schema_version: int = Field(ge=1)
    what: _What
    given: dict[str, Any]
    passes: _Passes
    versions: dict[str, Any]
    machine: dict[str, Any]
    data: dict[str, Any]
    clean: _Clean | None
    events: list[Any]


def check_manifest(manifest: object, path: Path) -> None:
    """Refuse a manifest, read from JSON, that lacks what a run reads of it.

    Raises
    ------
    InputError : names the file, and the first field that is missing or wrong.
    """
    try:
        _Manifest.model_validate(manifest)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "all of it"
        raise InputError(
            f"manifest {path}",
            f"{place}: {first['msg'].lower()}",
            "Give a folder that pinprick attack has written, or a new one.",
        ) from None
