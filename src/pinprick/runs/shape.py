"""The shape of a stored manifest: what is read of it must be there, and of a kind that a run writes."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from pinprick.attacks.arguments import LARGEST, LARGEST_ROWS
from pinprick.attacks.base import MOST_DRAWS
from pinprick.attacks.registry import ATTACKS
from pinprick.attacks.search_loop import Stop
from pinprick.errors import InputError
from pinprick.targets.base import Outputs

SMALLEST_SIDE, LARGEST_SIDE = 8, 512
"""Pixels a side of images that are attacked."""
_Count = Annotated[int, Field(ge=0, le=LARGEST)]
_Size = Annotated[int, Field(ge=1, le=LARGEST)]
_Sides = Annotated[list[_Size], Field(min_length=2, max_length=2)]
_Pixels = Annotated[int, Field(ge=1, le=LARGEST_SIDE**2)]
_Budget = Annotated[int, Field(ge=2, le=LARGEST)]
_TOLD = {
    "one-pixel": ("population", "generations", "weight", "position_bounds", "colour_bounds"),
    "sweep": ("colours",),
}
"""Parameters that reports put into words."""


class _Part(BaseModel):
    # True is no number of rows, and "64" none either.
    model_config = ConfigDict(strict=True)


class _Spec(_Part):
    attack: str
    pixels: list[_Pixels] = Field(min_length=1)
    goal: Literal["untargeted", "targeted", "untargeted-derived"]
    targets: Literal["all", "random", "least-likely"]
    stop: Stop
    seed: _Count
    budget: _Budget | list[_Budget]
    resize: _Size | None = None
    crop: _Size | None = None

    @model_validator(mode="after")
    def _agree(self) -> _Spec:
        if len(set(self.pixels)) < len(self.pixels):
            raise ValueError("pixels: a number is there twice")
        if isinstance(self.budget, list) and len(self.budget) != len(self.pixels):
            raise ValueError(f"budget: {len(self.budget)} budgets for {len(self.pixels)} numbers of pixels")
        return self


class _Target(_Part):
    outputs: Outputs | None = None


class _What(_Part):
    spec: _Spec
    attacks: dict[str, dict[str, Any]]
    target: _Target
    data: str
    draws: int = Field(default=1, ge=1, le=MOST_DRAWS)
    """Passes that decide on each image."""

    @model_validator(mode="after")
    def _agree(self) -> _What:
        if self.spec.attack not in self.attacks:
            raise ValueError(f"attacks: no {self.spec.attack}")
        for name, parameters in self.attacks.items():
            if missing := [one for one in _TOLD.get(name, ()) if one not in parameters]:
                raise ValueError(f"attacks: {name} without {missing[0]}")
            made = ATTACKS.get(name)
            known = {} if made is None else {one: parameters[one] for one in made().parameters() if one in parameters}
            try:
                if made is not None:
                    made(**known)
            except (InputError, TypeError) as error:
                raise ValueError(f"attacks: {name} ({error})") from None
        return self


class _Passes(_Part):
    rows: int = Field(ge=1, le=LARGEST_ROWS)
    incremental: dict[Annotated[str, Field(pattern="^[1-9][0-9]{0,5}$")], bool] = {}
    """For each number of pixels whether candidates are scored by what these reach alone."""


class _Clean(_Part):
    images: _Count
    attacked: _Count
    failed: _Count = 0
    accuracy: float | None = Field(default=None, ge=0, le=1, allow_inf_nan=False)

    @model_validator(mode="after")
    def _agree(self) -> _Clean:
        if self.attacked + self.failed > self.images:
            raise ValueError(f"{self.attacked} attacked and {self.failed} failed of {self.images} images")
        if self.accuracy is not None and not math.isclose(self.accuracy * self.images, self.attacked, abs_tol=1e-6):
            raise ValueError(f"accuracy {self.accuracy:g} where {self.attacked} of {self.images} images are right")
        return self


class _Given(_Part):
    model: str
    data: str
    classes: str | None = None
    resize: _Size | None = None
    crop: _Size | None = None
    first: _Size | None = None


class _Preparation(_Part):
    resize: _Size | _Sides | None
    crop: _Sides | None
    resample: Literal["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"]


class _Data(_Part):
    name: str | None = None
    images: _Count | None = None
    classes: list[str] | None = None
    shape: list[int] | None = None
    preparation: _Preparation | None = None

    @field_validator("shape")
    @classmethod
    def _shape(cls, value: list[int] | None) -> list[int] | None:
        if value is None:
            return value
        sides = [side for side in value[1:] if SMALLEST_SIDE <= side <= LARGEST_SIDE]
        if len(value) != 3 or value[0] not in (1, 3) or len(sides) != 2:
            raise ValueError(f"{value} is no shape of images that are attacked")
        return value


class _Manifest(_Part):
    schema_version: int = Field(ge=1)
    what: _What
    given: _Given
    passes: _Passes
    versions: dict[str, Any]
    machine: dict[str, Any]
    data: _Data
    clean: _Clean | None
    events: list[Any]


def parse_manifest(text: str) -> Any:
    """What JSON text holds; unlike Python's own reader, nothing that is no JSON, and no infinite number.

    Raises
    ------
    ValueError : it is not JSON, or holds NaN or infinity.
    """

    def number(digits: str) -> float:
        value = float(digits)
        if not math.isfinite(value):
            raise ValueError(f"a number of {len(digits)} characters is infinite")
        return value

    def refuse(name: str) -> NoReturn:
        raise ValueError(f"{name} is no JSON")

    return json.loads(text, parse_constant=refuse, parse_float=number)


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
        wrong = first["msg"].removeprefix("Value error, ")
        raise InputError(
            f"manifest {path}",
            f"{place}: {wrong[:1].lower()}{wrong[1:]}",
            "Give a folder that pinprick attack has written, or a new one.",
        ) from None
