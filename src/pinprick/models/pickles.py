"""Files of torch.save, torch.jit.save, pickle and joblib: programs as well as data, so that most need the user's trust.

A pickle can run any code while it is read. A TorchScript archive is no pickle of Python's, but a program all the same:
``torch.from_file`` in it writes to any file, already when it is loaded. ``torch.export.load`` reads the constants and
examples of a program with pickle, and gives its shapes to sympy, which evaluates text. Only a plain state dict, tensors
by name, is read without trust, by torch's restricted reader.
"""

from __future__ import annotations

import contextlib
import re
import sys
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from pinprick.errors import InputError, one_line

PICKLE_SUFFIXES = (".pt", ".pth", ".pt2", ".pkl", ".pickle", ".ckpt", ".bin", ".joblib")
"""What files of torch.save, torch.jit.save, pickle and joblib usually end in."""

_OLD_TORCH = bytes.fromhex("80028a0a6cfc9c46f920")
_FIRST_SAFE_TORCH = (2, 10)
"""Below, torch.load(weights_only=True) could be made to run code (CVE-2025-32434, CVE-2026-24747)."""
_OTHERWISE = "save the weights as safetensors (safetensors.torch.save_file), or give a factory (file.py:function)."
_TRUST = f"If you trust whoever made it, add --trust-pickle; otherwise {_OTHERWISE}"
_TRUST_ESTIMATOR = "If you trust whoever made it, add --trust-pickle; otherwise save it with skops.io.dump (.skops)."
_NOT_HERE = re.compile(r"GLOBAL ([\w.]+)")


def is_pickle_name(path: Path) -> bool:
    """Does the name end like that of a file that torch.save, torch.jit.save, pickle or joblib wrote?"""
    return path.suffix.lower() in PICKLE_SUFFIXES


def load_pickled(path: Path, what: str, *, trusted: bool, notes: list[str] | None = None) -> Any:
    """What a pickle or a TorchScript archive holds, on the CPU; ``what`` is how errors call it.

    To ``notes`` is added what the user should know: that another version of scikit-learn has written it.

    The folder of the file and the current one are put on Python's path, since a pickle holds the names of its classes
    and not the classes.

    Raises
    ------
    InputError : no such file, it is not ``trusted``, or loading it raised.
    """
    members = _members(path, what)
    script = any(name.endswith("/constants.pkl") for name in members)
    exported = any(name.endswith(("/archive_format", "serialized_exported_program.json")) for name in members)
    if any("/data/aotinductor/" in name for name in members):
        right = "Save the program itself with torch.export.save, or give a factory (file.py:function)."
        raise InputError(what, "a package of machine code, made by AOTInductor", right)
    if not trusted:
        kind = "a pickle, which can run any code when it is loaded"
        if script:
            kind = "a TorchScript archive, a program that can write to any file when it is loaded"
        if exported:
            kind = "a program of torch.export, in which pickles can run any code when it is loaded"
        raise InputError(what, kind, _TRUST_ESTIMATOR if path.suffix.lower() == ".joblib" else _TRUST)
    for folder in (Path.cwd(), path.resolve().parent):
        if str(folder) not in sys.path:
            sys.path.append(str(folder))
    try:
        if not members and not _is_torch(path):
            with telling_versions([] if notes is None else notes):
                import joblib

                # It reads plain pickles as well as its own.
                return joblib.load(path)
        with warnings.catch_warnings():
            # That TorchScript, and some ways to pickle, are of yesterday is nothing that the user can mend here.
            warnings.simplefilter("ignore")
            if exported:
                return torch.export.load(path)
            if script:
                return torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
            return torch.load(path, weights_only=False, map_location="cpu")
    except (Exception, SystemExit) as error:
        names = isinstance(error, AttributeError | ImportError)
        right = (
            "A pickle names its classes only: put the Python file that defines them beside it, or give a factory "
            "(file.py:function)."
            if names
            else "It may be cut off, or no file of torch.save, pickle or joblib."
        )
        raise InputError(what, f"loading it raised {_short(error)}", right) from error


@contextlib.contextmanager
def telling_versions(notes: list[str]) -> Iterator[None]:
    """Silence, but for estimators that another version of scikit-learn has written: these are noted, once."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for warning in caught:
        if (old := getattr(warning.message, "original_sklearn_version", None)) is not None:
            now = getattr(warning.message, "current_sklearn_version", "another")
            notes.append(f"warning: scikit-learn {old} has written it, and {now} reads it: it may answer otherwise")
            return


def _is_torch(path: Path) -> bool:
    """Does the file begin as those of torch.save do: as a zip file, be it cut off, or, before 1.6, with a number?"""
    with path.open("rb") as file:
        return file.read(len(_OLD_TORCH)).startswith((_OLD_TORCH, b"PK\x03\x04"))


def read_state_dict(path: Path, what: str, *, trusted: bool) -> dict[str, torch.Tensor]:
    """The tensors of a state dict by name, as ``torch.save(net.state_dict(), path)`` writes them.

    A dictionary that holds it under ``state_dict``, as checkpoints do, is read too. Without ``trusted`` no code of the
    file is run: torch's restricted reader takes tensors only.

    Raises
    ------
    InputError : no such file, or it is damaged or holds something else; not ``trusted``, and the torch that is
        installed, or the form of the file, cannot be read safely.
    """
    loaded = load_pickled(path, what, trusted=True) if trusted else _restricted(path, what)
    if isinstance(loaded, dict) and isinstance(loaded.get("state_dict"), dict):
        loaded = loaded["state_dict"]
    if not isinstance(loaded, dict) or not loaded:
        raise InputError(what, f"it holds a {type(loaded).__name__}, no state dict", "Save net.state_dict().")
    for name, value in loaded.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            raise InputError(
                what, f"entry {str(name)[:80]!r} is a {type(value).__name__}, no tensor", "Save net.state_dict()."
            )
        if value.layout != torch.strided or value.is_quantized or value.device.type != "cpu":
            raise InputError(what, f"tensor {name!r} is of a kind that is not read", "Save plain dense tensors.")
        # A tensor may claim to be larger than what is stored of it, by strides of 0, and would be spread out in use.
        if value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise InputError(what, f"tensor {name!r} is larger than what is stored of it", "Save contiguous tensors.")
    return loaded


def check_torch(what: str, otherwise: str) -> None:
    """Refuse to read a pickle, even by torch's restricted reader, with a torch that does not do so safely.

    ``otherwise`` says what else can be done than to update.

    Raises
    ------
    InputError : torch is too old.
    """
    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < _FIRST_SAFE_TORCH:
        safe = ".".join(map(str, _FIRST_SAFE_TORCH))
        raise InputError(
            what,
            f"a pickle, and torch {torch.__version__} does not read these safely",
            f"Update to {safe}. {otherwise}",
        )


def foreign_code(error: BaseException) -> str | None:
    """What torch's restricted reader found in a file beside tensors, None where it refused it for something else."""
    named = _NOT_HERE.search(str(error))
    return None if named is None else named[1]


def _restricted(path: Path, what: str) -> Any:
    """Read by torch's restricted reader, from the one form that it reads well."""
    members = _members(path, what)
    check_torch(what, _TRUST)
    if not members:
        raise InputError(what, "a pickle in a form that cannot be read safely (torch before 1.6, or damaged)", _TRUST)
    if any(name.endswith("/constants.pkl") for name in members):
        raise InputError(what, "a TorchScript archive, no state dict", "Give it without the network's name.")
    try:
        with zipfile.ZipFile(path) as archive:
            # torch packs nothing: a packed entry may be of any size once it is unpacked.
            packed = [entry.filename for entry in archive.infolist() if entry.compress_type != zipfile.ZIP_STORED]
            if packed:
                raise zipfile.BadZipFile(f"{packed[0]!r} is packed, which torch does not do")
            # torch.load does not look at the checksums, and a flipped bit would go into the weights.
            if (broken := archive.testzip()) is not None:
                raise zipfile.BadZipFile(f"wrong checksum of {broken!r}")
        return torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:  # what a damaged zip or pickle raises depends on the byte that is wrong
        if (named := foreign_code(error)) is not None:
            raise InputError(what, f"more than a state dict is in it ({named})", _TRUST) from None
        raise InputError(what, f"cannot be read ({_short(error)})", "It may be damaged; copy it anew.") from None


def _members(path: Path, what: str) -> list[str]:
    """Names of what is in a zip file, none of any other file."""
    right = "Give a file, or a factory (file.py:function)."
    if not path.exists():
        raise InputError(what, f"there is no file {str(path)!r}", right)
    try:
        with path.open("rb") as file:
            if not file.read(1):
                raise InputError(what, "the file is empty (0 bytes)", right)
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except OSError as error:
        raise InputError(what, f"cannot be read ({error.strerror or error})", right) from None
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        return []


def _short(error: BaseException) -> str:
    """The first sentence of an error: torch goes on for pages."""
    return re.split(r"\. |\n", one_line(error))[0].rstrip(".")[:200]
