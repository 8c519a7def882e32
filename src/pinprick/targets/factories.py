"""Models that a user's own Python makes: ``file.py:function`` and ``package.module:function`` after --model."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.util
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from pinprick.errors import InputError, UnknownNameError, one_line
from pinprick.paths import given_path

FORMS = "Write a shipped name, [net:]weights.safetensors, file.py:function, package.module:function or an address."


def made_by(model: str, left: str, right: str, is_model: Callable[[Any], bool]) -> Any:
    """What is called ``right`` in the file or package ``left``, if that is a model; else what it returns.

    Raises
    ------
    InputError : there is none, it is no function either, or it raises.
    """
    with _staying():
        found = _named(model, left, right, is_model)
        # A model that the file has made already is as good as a function that makes one.
        return found if is_model(found) else _call(model, found)


@contextlib.contextmanager
def _staying() -> Iterator[None]:
    """A factory may go to another folder; the user's other paths are relative to where the user is."""
    here = Path.cwd()
    try:
        yield
    finally:
        os.chdir(here)


def _named(model: str, left: str, right: str, is_model: Callable[[Any], bool]) -> Any:
    """What is called so in a user's file or package: a function, a module or a classifier."""
    module = _import(model, left)
    found = getattr(module, right, None)
    if found is None:
        functions = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
        raise UnknownNameError(f"--model {model}", right, functions or ["(no functions in it)"])
    if not callable(found) and not is_model(found):
        raise InputError(f"--model {model}", f"{right} is a {type(found).__name__}, not a function", FORMS)
    return found


def _import(model: str, left: str) -> ModuleType:
    path = given_path(left, f"--model {model}")
    try:
        if path.suffix == ".py":
            if not path.is_file():
                raise InputError(f"--model {model}", f"there is no file {left}", FORMS)
            # Files beside the factory's can be imported by it, as when Python runs it as a script.
            sys.path.insert(0, str(path.resolve().parent))
            name = f"_pinprick_factory_{path.stem}"
            spec = importlib.util.spec_from_file_location(name, path)
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            sys.modules[name] = module
            spec.loader.exec_module(module)
            return module
        if str(Path.cwd()) not in sys.path:
            sys.path.insert(0, str(Path.cwd()))
        return importlib.import_module(left)
    except InputError:
        raise
    except ModuleNotFoundError as error:
        itself = error.name is None or f"{left}.".startswith(f"{error.name}.")
        right = FORMS if itself else f"Install {error.name}, or mend the import."
        raise InputError(f"--model {model}", f"cannot import it ({error})", right) from error
    except (Exception, SystemExit) as error:
        raise InputError(f"--model {model}", f"importing it raised {_where(error)}", "Mend the file.") from error


def _call(model: str, factory: Callable[[], Any]) -> Any:
    try:
        return factory()
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        right = "It is called without arguments."
        if isinstance(error, FileNotFoundError):
            right = "Paths in it are relative to where you are."
        elif _wants_images(factory):
            name = getattr(factory, "__name__", "it")
            right = (
                "It is called without arguments and returns the model. If it takes images itself, name a function that "
                f"returns it: def model(): return {name}."
            )
        raise InputError(f"--model {model}", f"calling it raised {_where(error)}", right) from error


def _wants_images(factory: Callable[..., Any]) -> bool:
    """Whether a function cannot be called without arguments, but with one: it may be the classifier itself."""
    try:
        signature = inspect.signature(factory)
    except (TypeError, ValueError):
        return False
    takes = []
    for arguments in ((), (None,)):
        try:
            signature.bind(*arguments)
            takes.append(len(arguments))
        except TypeError:
            continue
    return takes == [1]


def _where(error: BaseException) -> str:
    """``ValueError: bad (file.py, line 3)`` of the innermost frame that is not of Python's or of a package."""
    if isinstance(error, SyntaxError):  # it says where by itself
        return one_line(error)
    frames = [frame for frame in traceback.extract_tb(error.__traceback__)[1:] if not _is_installed(frame.filename)]
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return one_line(error) + place


def _is_installed(file: str) -> bool:
    return file.startswith("<") or not {"site-packages", "dist-packages"}.isdisjoint(Path(file).parts)


def code_digest(function: Callable[..., Any]) -> str:
    """BLAKE2b of a function's compiled code and constants, so that a changed function is another target."""
    # Of an object that can be called, the code is its class's.
    code = getattr(function, "__code__", None) or getattr(vars(type(function)).get("__call__"), "__code__", None)
    if code is None:
        return ""
    # Sets and nested code objects print in an order, or at an address, that changes from process to process.
    constants = [value for value in code.co_consts if isinstance(value, int | float | str | bytes | tuple)]
    text = repr((code.co_code, code.co_names, constants))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
