"""The unchanged pixels of a run's images: from its folder or from the set it names, checked against their digests."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pinprick.data.decode import decode_image
from pinprick.data.image_set import Image, ImageSet
from pinprick.data.sets import load_images
from pinprick.data.transform import Preparation, prepared
from pinprick.errors import InputError
from pinprick.streams import image_digest

_NOT_A_NAME = "given in Python"


@dataclass
class Originals:
    """Images by name, as they are asked for.

    ``saved`` are PNG files that the run wrote; what is not among them is taken from the set, which is loaded when it
    is first needed, and brought to the model's size as ``preparation`` says. ``missing`` tells, of each image that was
    asked for and is not to be had, why.
    """

    given: dict[str, Any]
    saved: dict[str, Path]
    preparation: dict[str, Any] | None = None
    missing: dict[str, str] = field(default_factory=dict)
    _found: dict[str, Image] = field(default_factory=dict, repr=False)
    _set: ImageSet | str | None = None
    _places: dict[str, int] = field(default_factory=dict, repr=False)

    def get(self, name: str, digest: str) -> Image | None:
        """The image ``(C, H, W)`` uint8 whose pixels have this digest; None where there is none, and then why."""
        if name in self._found:
            return self._found[name]
        try:
            image = self._read(name)
        except InputError as error:
            self.missing[name] = f"{error.what}: {error.wrong}"
            return None
        if image_digest(image) != digest:
            self.missing[name] = "what is found under its name is not the image that was attacked (other pixels)"
            return None
        self._found[name] = image
        return image

    def _read(self, name: str) -> Image:
        if name in self.saved:
            path = self.saved[name]
            try:
                return decode_image(path.read_bytes(), str(path))
            except OSError as error:
                raise InputError(f"image {path}", f"cannot be read ({error.strerror})") from None
        if self._set is None:
            self._set = self._load()
            if isinstance(self._set, ImageSet):
                self._places = {name: index for index, name in enumerate(self._set.names)}
        if isinstance(self._set, str):
            raise InputError("image set", self._set)
        if name not in self._places:
            raise InputError(f"image set {self._set.name!r}", "no image of that name is in it")
        return self._set.image(self._places[name])

    def _load(self) -> ImageSet | str:
        """The set that the run was given, or why it cannot be had."""
        data = self.given.get("data")
        if not data or data == _NOT_A_NAME:
            return "the images were given in Python, not by a name that can be loaded again"
        try:
            images = load_images(
                data,
                classes=self.given.get("classes"),
                resize=self.given.get("resize"),
                crop=self.given.get("crop"),
            )
            return images if self.preparation is None else prepared(images, Preparation.of(self.preparation))
        except InputError as error:
            return f"{data!r} cannot be loaded again from here ({error.wrong})"


def find_originals(folder: Path, manifest: dict[str, Any]) -> Originals:
    """What is known of the originals of the run in ``folder``."""
    preparation = (manifest.get("data") or {}).get("preparation")
    return Originals(manifest.get("given") or {}, _saved(folder / "images"), preparation)


def _saved(folder: Path) -> dict[str, Path]:
    """The originals that ``--save-images`` wrote, by image name; a line that cannot be understood is passed over.

    Nothing is lost by that: such an image is looked for in the set, and all of them are checked by their digests.
    """
    table = folder / "metadata.jsonl"
    if not table.is_file():
        return {}
    found: dict[str, Path] = {}
    try:
        lines = table.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    for line in lines:
        try:
            claim = json.loads(line)
            name, path = claim["key"].partition("/")[2], folder / claim["original"]
            inside = path.resolve().is_relative_to(folder.resolve()) and path.is_file()
        # A path may be none that the system looks up, and JSON may be nested beyond Python's depth.
        except (ValueError, KeyError, TypeError, AttributeError, OSError, RuntimeError):
            continue
        if inside:
            found[name] = path
    return found
