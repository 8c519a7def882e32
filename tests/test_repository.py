"""What holds of the repository as a whole: its floors, its sizes, its versions, its documents."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import pinprick

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "pinprick"
SOURCES = sorted(PACKAGE.rglob("*.py"))
LONGEST_FILE = 400
LARGEST_WEIGHTS = 4 * 1024 * 1024

FLOORS = (
    ("errors", "paths", "files", "streams", "edits", "goals", "units", "outcomes", "verify", "threat", "intervals"),
    ("models", "data"),
    ("incremental",),
    ("targets",),
    ("search",),
    ("attacks", "defenses", "metrics"),
    ("runs",),
    ("studies",),
    ("report", "studio", "api", "__init__"),
    ("cli", "__main__"),
)
"""From the bottom up. The package's own ``__init__`` stands where ``api`` does, since it hands on what that has."""


def floor_of(module: str) -> int:
    """The floor of ``pinprick.…``; ``pinprick`` itself is ``__init__``."""
    name = [*module.split("."), "__init__"][1]
    for floor, names in enumerate(FLOORS):
        if name in names:
            return floor
    raise AssertionError(f"{module} is on no floor: add it to FLOORS")


def module_of(path: Path) -> str:
    """``pinprick.data.sets`` of its file."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(source: str, module: str, *, package: bool = False) -> Iterator[str]:
    """Names of pinprick that a module imports, wherever in it, those for type checking among them."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name.split(".")[0] == "pinprick")
        if not isinstance(node, ast.ImportFrom):
            continue
        base = node.module or ""
        if node.level:
            parts = module.split(".")
            above = parts[: len(parts) - node.level + package]
            base = ".".join([*above, *([base] if base else [])])
        if base == "pinprick":
            # The version is said by the package itself, which is imported before any part of it: every floor has it.
            names = [name.name for name in node.names if name.name != "__version__"]
            yield from (f"{base}.{name}" if name in _names() else base for name in names)
        elif base.startswith("pinprick."):
            yield base


def _names() -> set[str]:
    return {name for names in FLOORS for name in names}


def upward(source: str, module: str, *, package: bool = False) -> list[str]:
    """Imports from floors above the module's own."""
    own = floor_of(module)
    return [name for name in imported(source, module, package=package) if floor_of(name) > own]


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_files_import_only_from_their_own_floor_and_those_below(path: Path) -> None:
    odd = upward(path.read_text(encoding="utf-8"), module_of(path), package=path.name == "__init__.py")
    assert not odd, f"{module_of(path)} imports from above: {', '.join(odd)}"


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("from pinprick.runs.spec import Spec", ["pinprick.runs.spec"]),
        ("import pinprick.attacks.base", ["pinprick.attacks.base"]),
        ("def late():\n    from pinprick import api", ["pinprick.api"]),
        ("from pinprick import attack", ["pinprick"]),
        ("from ..runs import store", ["pinprick.runs"]),
        ("from .. import search", ["pinprick.search"]),
        ("if TYPE_CHECKING:\n    from pinprick.cli.main import app", ["pinprick.cli.main"]),
        ("from pinprick import __version__", []),
        ("from pinprick.data.sets import load_images\nfrom pinprick.errors import InputError\nfrom . import meter", []),
        ("import numpy, pinprickly", []),
    ],
)
def test_imports_from_above_are_found_however_they_are_written(source: str, found: list[str]) -> None:
    assert upward(source, "pinprick.targets.base") == found


def test_a_module_that_is_on_no_floor_is_refused() -> None:
    with pytest.raises(AssertionError, match="on no floor"):
        floor_of("pinprick.attic.box")


@pytest.mark.parametrize("folder", ["src", "tests"])
def test_no_file_is_longer_than_400_lines(folder: str) -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in (ROOT / folder).rglob("*.py")}
    long = {str(path.relative_to(ROOT)): lines for path, lines in lengths.items() if lines > LONGEST_FILE}
    assert lengths
    assert not long


def test_citation_and_changelog_have_the_version_of_the_package() -> None:
    citation = re.search(r'^version: "(.+)"$', (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE)
    changelog = re.search(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert citation is not None
    assert changelog is not None
    assert citation[1] == pinprick.__version__
    assert changelog[1] == pinprick.__version__


def test_shipped_weights_are_small_and_have_cards() -> None:
    for weights in (PACKAGE / "models" / "weights").glob("*.safetensors"):
        assert weights.stat().st_size <= LARGEST_WEIGHTS, weights.name
        assert weights.with_suffix(".md").is_file(), f"{weights.name} has no card"


def test_the_torch_that_is_pinned_fits_every_build_of_it() -> None:
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [pin for pin in pins if pin and not pin.startswith("#")]
    assert [pin for pin in pins if not re.fullmatch(r"[a-z0-9-]+==[0-9.]+", pin)] == []
    assert any(pin.startswith("torch==") for pin in pins)


@pytest.mark.parametrize("document", ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"])
def test_files_that_a_document_names_exist(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", text)
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    files = [name for name in re.findall(r"`((?:[\w.]+/)*\w+\.py)`", prose) if name not in ("my_model.py", "file.py")]
    missing = [name for name in links if not (ROOT / name).exists()]
    missing += [name for name in files if not ((ROOT / name).exists() or (PACKAGE / name).exists())]
    assert not missing


def test_the_command_starts_and_lists_what_it_can_do() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pinprick.cli.main", "--help"], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    for command in ("attack", "train"):
        assert re.search(rf"\b{command}\b", done.stdout), f"{command} is not in\n{done.stdout}"
