"""README.md as it stands: its examples run, and what it says of options and results is what there is.

The examples run on small limits. Blocks that begin with a comment naming a file are written to that file; of the shell
blocks the lines that begin with ``pinprick`` run, all in one folder, in the order of the page.
"""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.main import get_command
from typer.testing import CliRunner, Result

from pinprick.cli.app import app
from pinprick.data.sets import NAMES
from pinprick.models.shipped import shipped

README = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")
SMALL = {"limit": 2, "budget": 450}
FOREIGN_OPTIONS = {"--index-url"}

MY_NET = """
import torch
from torch import nn

class MyNet(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(3 * 12 * 10, 4))
"""


def blocks(language: str) -> list[str]:
    """The README's fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def files() -> dict[str, str]:
    """Blocks that begin with the name of a file, by that name."""
    named = {}
    for block in [*blocks("python"), *blocks("toml")]:
        if match := re.match(r"# ([\w.]+)\n", block):
            named[match[1]] = block
    return named


def snippets() -> list[str]:
    """The Python blocks that are to be run."""
    return [block for block in blocks("python") if block not in files().values()]


def commands() -> list[str]:
    """The command lines of pinprick, in order."""
    lines = [line for block in blocks("bash") for line in block.replace("\\\n", " ").splitlines()]
    return [line for line in lines if line.startswith("pinprick ")]


@pytest.fixture(scope="module")
def digits_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """``cnn-digits`` where it is shipped, else a network of that kind trained for a second."""
    if "cnn-digits" in shipped():
        return "cnn-digits"
    path = tmp_path_factory.mktemp("weights") / "cnn.safetensors"
    run(f"pinprick train cnn --data digits:train --epochs 2 --out {path}")
    return f"cnn:{path}"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, digits_model: str) -> Iterator[Path]:
    """The reader's folder: what the README says they have, and what it tells them to write."""
    folder = tmp_path_factory.mktemp("reader")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "path", [str(folder), *sys.path])
        before = set(sys.modules)
        for name, text in files().items():
            (folder / name).write_text(text.replace('"cnn-digits"', f'"{digits_model}"'))
        _my_net_and_photos(folder)
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        yield folder
        torch.set_num_threads(threads)
        for name in {"my_model", "my_net"} & (set(sys.modules) - before):
            del sys.modules[name]


def _my_net_and_photos(folder: Path) -> None:
    """An untrained linear network, which few pixels turn, and noise sorted into its own classes."""
    torch.manual_seed(0)
    (folder / "my_net.py").write_text(MY_NET)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 12 * 10, 4))
    torch.save(net.state_dict(), folder / "my_net.pt")
    noise = np.random.default_rng(0).integers(0, 256, (24, 12, 10, 3), dtype=np.uint8)
    classes = ("cat", "dog", "fox", "owl")
    for name in classes:
        (folder / "photos" / name).mkdir(parents=True)
    with torch.no_grad():
        labels = net(torch.from_numpy(noise).permute(0, 3, 1, 2) / 255).argmax(dim=1).tolist()
    for number, (pixels, label) in enumerate(zip(noise, labels, strict=True)):
        Image.fromarray(pixels).save(folder / "photos" / classes[label] / f"{number:02d}.png")


def run(line: str) -> Result:
    """Run one command line of pinprick, as typed, in this process."""
    result = CliRunner().invoke(app, shlex.split(line, comments=True)[1:])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def small(line: str, model: str) -> str:
    """A command of the README that takes a second; options given twice count as they were given last."""
    line = re.sub(r"\bcnn-digits\b", model, line)
    if line.startswith("pinprick train"):
        return f"{line} --epochs 2"
    if line.startswith(("pinprick summary", "pinprick report")):
        return line
    limit = 2 * SMALL["limit"] if "--limit 40" in line else SMALL["limit"]
    return f"{line} --limit {limit} --budget {SMALL['budget']}"


@pytest.fixture(scope="module")
def printed(place: Path, digits_model: str) -> dict[str, Result]:
    """What each command of the README came to, in its order."""
    assert place == Path.cwd()
    return {line: run(small(line, digits_model)) for line in commands()}


def test_every_command_ends_well(printed: dict[str, Result]) -> None:
    assert len(printed) >= 6
    for line, result in printed.items():
        assert result.exit_code == 0, f"{line}\n{result.output}"


def test_the_larger_limit_extends_the_run(printed: dict[str, Result]) -> None:
    smaller, larger = (line for line in commands() if "--spec digits.toml" in line)
    assert "stored already" not in printed[smaller].output
    assert "8 of 16 units are stored already" in printed[larger].output


def test_the_python_examples_run(place: Path, printed: dict[str, Result], capsys: pytest.CaptureFixture[str]) -> None:
    fooled = (place / "runs" / "photos" / "images" / "metadata.jsonl").read_text().splitlines()
    assert fooled, "the check in the README has nothing to check"
    for snippet in snippets():
        limited = re.sub(r"limit=\d+", ", ".join(f"{name}={value}" for name, value in SMALL.items()), snippet)
        exec(compile(limited, "README.md", "exec"), {"__name__": "readme"})
    out = capsys.readouterr().out
    assert "few-pixel 1 " in out
    assert out.count("pixels changed") == len(fooled)


def test_the_check_finds_a_claim_that_is_false(place: Path, printed: dict[str, Result]) -> None:
    check = next(snippet for snippet in snippets() if "metadata.jsonl" in snippet)
    table = place / "runs" / "photos" / "images" / "metadata.jsonl"
    honest = table.read_text()
    claims = [json.loads(line) for line in honest.splitlines()]
    claims[0]["file_name"] = claims[0]["original"]
    table.write_text("".join(json.dumps(claim) + "\n" for claim in claims))
    try:
        with pytest.raises(AssertionError):
            exec(compile(check, "README.md", "exec"), {"__name__": "readme"})
    finally:
        table.write_text(honest)


def test_the_columns_of_the_table_are_explained(printed: dict[str, Result]) -> None:
    header = next(line for line in printed[commands()[0]].stdout.splitlines() if line.startswith("attack"))
    printed_names = re.split(r"\s{2,}|(?<=n) (?=fooled)", header.strip())
    explained = re.search(r"^\| column \| meaning \|\n(.*?)\n\n", README, re.MULTILINE | re.DOTALL)
    assert explained is not None
    names = re.findall(r"`([^`]+)`", "".join(row.split("|")[1] for row in explained[1].splitlines()))
    assert [name for name in printed_names if name not in names] == []
    assert [name for name in names if name not in header] == []


def test_the_json_fields_are_all_named(place: Path, digits_model: str) -> None:
    result = run(f"pinprick attack --model {digits_model} --data digits:test --limit 1 --budget 401 --json")
    fields = json.loads(result.stdout)
    for name in [*fields, *fields["rows"][0]]:
        assert f"`{name}`" in README, name


def test_the_files_of_a_run_are_all_named(place: Path, printed: dict[str, Result]) -> None:
    for path in (place / "runs" / "photos").iterdir():
        assert f"`{path.name}{'/' if path.is_dir() else ''}`" in README, path.name


def test_every_option_in_the_readme_exists() -> None:
    group = get_command(app)
    known = set(FOREIGN_OPTIONS)
    commands = list(group.commands.values())  # type: ignore[attr-defined]
    for command in commands:
        known |= {option for parameter in command.params for option in parameter.opts}
        # Commands of a group, as `targets check`.
        commands += getattr(command, "commands", {}).values()
    for script in (Path(__file__).parents[1] / "benchmarks").glob("*.py"):
        known |= set(re.findall(r'add_argument\("(--[a-z-]+)"', script.read_text()))
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", README))
    assert named - known == set()


def test_every_named_image_set_is_in_the_readme() -> None:
    for name in NAMES:
        assert f"`{name}`" in README or name in ("cifar10", "mnist")
