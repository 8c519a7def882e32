"""Small data and one thread: these tests share their processor with others."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from pinprick.cli.main import main
from pinprick.data.digits import digits
from pinprick.models.settings import LabelledImages

Result = tuple[int, str, str]
Command = Callable[..., Result]


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _digits(split: str) -> LabelledImages:
    images = digits(split)
    assert images.labels is not None
    return LabelledImages(images.stack(), images.labels, images.name, images.fingerprint, images.classes)


@pytest.fixture(scope="session")
def digits_train() -> LabelledImages:
    return _digits("train")


@pytest.fixture(scope="session")
def digits_test() -> LabelledImages:
    return _digits("test")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    """`pinprick train` in this process, in an empty folder: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def command(line: str, *more: str) -> Result:
        monkeypatch.setattr(sys, "argv", ["pinprick", "train", *shlex.split(line), *more])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capfd.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, out, err

    return command
