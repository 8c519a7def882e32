"""Ctrl-C at moments that are hard to hit by hand: one line on stderr, exit code 130, and no traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

# SIGINT is ignored in processes that a shell started in the background, and inherited; a user's shell does not.
PROGRAM = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)

moment = {moment!r}

def hook(event, arguments):
    if event == moment[0] and moment[1] in map(str, arguments[:1]):
        os.kill(os.getpid(), signal.SIGINT)

sys.addaudithook(hook)
from pinprick.cli.main import main
main()
"""
ATTACK = ("attack", "--model", "cnn-digits", "--data", "digits:test", "--limit", "1", "--budget", "401")
TRAIN = ("train", "fc", "--data", "digits:test", "--epochs", "1")


def interrupted(folder: Path, moment: tuple[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command, with SIGINT sent to it by itself when this audit event happens in it."""
    return subprocess.run(
        [sys.executable, "-c", PROGRAM.format(moment=moment), *arguments],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("typer", ("--help",)),
        ("torch", ATTACK),
        ("pinprick.cli.training", TRAIN),
    ],
)
def test_while_something_is_imported(tmp_path: Path, name: str, arguments: tuple[str, ...]) -> None:
    done = interrupted(tmp_path, ("import", name), *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (ATTACK, "interrupted after 0 units (nothing is kept without --out)\n"),
        ((*ATTACK, "--plan"), "interrupted\n"),
        (TRAIN, "interrupted\n"),
    ],
)
def test_while_images_are_read(tmp_path: Path, arguments: tuple[str, ...], line: str) -> None:
    """scikit-learn opens its digits when they are asked for; nothing has begun that could be continued."""
    done = interrupted(tmp_path, ("open", digits_file()), *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", line)
    assert list(tmp_path.iterdir()) == []


def test_a_second_time_while_work_is_put_away() -> None:
    code = """
import os, signal, sys, typer
from pinprick.cli.interrupts import ending_at_once, stopping_work
signal.signal(signal.SIGINT, signal.default_int_handler)
def interrupt():
    os.kill(os.getpid(), signal.SIGINT)
    sum(range(1000))
app = typer.Typer()
@app.command()
def work():
    with stopping_work():
        try:
            interrupt()
        finally:
            print("putting away", flush=True)
            interrupt()
            print("never said")
with ending_at_once():
    app([])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "putting away\n", "interrupted\n")


def digits_file() -> str:
    import sklearn.datasets

    return str(Path(sklearn.datasets.__file__).parent / "data" / "digits.csv.gz")


def test_where_it_is_ignored_it_stays_ignored(tmp_path: Path) -> None:
    code = PROGRAM.replace("signal.default_int_handler", "signal.SIG_IGN").format(moment=("import", "typer"))
    done = subprocess.run(
        [sys.executable, "-c", code, "--version"],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("pinprick ")


@pytest.mark.parametrize("arguments", [("--version",), ("--help",), ("attack", "--help"), ("train", "--help")])
def test_help_does_not_wait_for_torch(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    code = (
        "import sys; from pinprick.cli.main import main\n"
        "try:\n    main()\n"
        "finally:\n    print(sorted({'torch', 'numpy', 'sklearn'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "[]\n")


def test_ctrl_c_is_as_it_was_after_a_command_in_this_process(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    import signal

    from pinprick.cli.main import main

    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(sys, "argv", ["pinprick", "--version"])
    with pytest.raises(SystemExit):
        main()
    assert capfd.readouterr().out.startswith("pinprick ")
    assert signal.getsignal(signal.SIGINT) is before
