"""Classifiers in files of skops: what skops knows to be harmless is read without trust, other types are refused.

Among the others are the trees of scikit-learn, whose memory is read as the file says: forests need trust here too.
"""

from __future__ import annotations

import zipfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pinprick.errors import InputError, one_line
from pinprick.models.pickles import telling_versions
from pinprick.paths import given_path
from pinprick.targets.base import Target
from pinprick.targets.loading import Options, as_target, is_estimator

_FIRST_SAFE = (0, 13)
"""Below, files could be made that ran code although no type was trusted (CVE-2024-37065, CVE-2025-54412, -54413)."""
LARGEST_SCHEMA = 2**26
LARGEST_BYTES, MOST_PACKED = 2**28, 50
"""A file whose account of itself has more bytes than the first, or that unpacks to more than so many bytes and to more
than so many times its size, would fill the memory; scikit-learn's are packed five to ten times."""
_SHOWN = 5
_TRUST = "If you trust whoever made it, add --trust-pickle."


def load(model: str, options: Options) -> Target:
    """The target in ``model``, a path that ends in ``.skops``.

    Raises
    ------
    InputError : no such file, or it cannot be read, or not without filling the memory; types in it that skops does not
        vouch for, which are named, unless ``options.trust_pickle``; no classifier; skops is not installed, or too old
        to be safe.
    """
    what = f"--model {model}"
    path = given_path(model, what)
    if not path.is_file():
        raise InputError(what, f"there is no file {str(path)!r}", "Give a file of skops.io.dump.")
    _check_size(path, what)
    notes: list[str] = []
    made = _read(str(path), what, notes, trusted=options.trust_pickle)
    if not is_estimator(made):
        raise InputError(what, f"it holds a {type(made).__name__}, no classifier", "Save a fitted classifier.")
    target = as_target(
        made,
        outputs=options.outputs,
        device=options.device,
        normalize=options.normalize,
        order=options.order,
        layout=options.layout,
        name=path.name,
    )
    for note in notes:
        target.note(note)
    return target


def _check_size(path: Path, what: str) -> None:
    """Raise InputError where a small file says that it becomes a very large one; it is not read beyond what it says."""
    try:
        with zipfile.ZipFile(path) as archive:
            sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
        limit = max(LARGEST_BYTES, MOST_PACKED * path.stat().st_size)
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile):
        # What is wrong with it skops says.
        return
    if sum(sizes.values()) > limit or sizes.get("schema.json", 0) > LARGEST_SCHEMA:
        wrong = f"{path.stat().st_size} bytes that say they unpack to {sum(sizes.values())}"
        raise InputError(what, wrong, "Save it with skops.io.dump, not packed.")


def _read(path: str, what: str, notes: list[str], *, trusted: bool) -> Any:
    try:
        import skops.io
    except ImportError:
        right = "Install it: pip install 'pinprick[skops]'."
        raise InputError(what, "skops is not installed, which reads it", right) from None
    found = version("skops")
    if tuple(int(part) for part in found.split(".")[:2]) < _FIRST_SAFE:
        safe = ".".join(map(str, _FIRST_SAFE))
        raise InputError(what, f"skops {found} does not read files safely", f"Update it to {safe} or later.")
    try:
        with telling_versions(notes):
            unknown = skops.io.get_untrusted_types(file=path)
            if trusted or not unknown:
                return skops.io.load(path, trusted=unknown)
    except Exception as error:  # what a damaged file raises depends on the byte that is wrong
        right = "It may be damaged, or no file of skops.io.dump."
        raise InputError(what, f"cannot be read ({one_line(error)[:200]})", right) from None
    shown = ", ".join(unknown[:_SHOWN]) + (f" … {len(unknown)} in all" if len(unknown) > _SHOWN else "")
    raise InputError(what, f"types in it are not known to be harmless ({shown})", _TRUST)
