"""Folders of small real runs in every state, and their reports taken apart."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch

from pinprick.data.digits import digits
from pinprick.data.image_set import ImageSet
from pinprick.report.page import write_report
from pinprick.runs.result import Listener
from pinprick.targets.callable_target import CallableTarget
from tests.conftest import digits_net
from tests.runs.conftest import small_run

VOID = {"meta", "img", "input", "br", "link", "base"}


@dataclass
class Page(HTMLParser):
    """A report taken apart: tags with their attributes, and the text outside of style and script."""

    source: str
    tags: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    open: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.source)
        self.close()
        assert self.open == [], "every element that is opened is closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self.open):
            self.words.append(data)

    @property
    def text(self) -> str:
        """The words of the page with single plain spaces between them."""
        return re.sub(r"[\s\u00a0]+", " ", " ".join(self.words))

    def all(self, tag: str, **attributes: str) -> list[dict[str, str]]:
        """Attributes of all elements of a tag that have these attributes (``class_`` for one class of several)."""
        wanted = dict(attributes)
        one = wanted.pop("class_", None)
        return [
            own
            for name, own in self.tags
            if name == tag
            and (one is None or one in own.get("class", "").split())
            and all(own.get(key) == value for key, value in wanted.items())
        ]

    @property
    def headings(self) -> list[str]:
        """The sections of the run or runs, by the last part of their ids."""
        return [own["id"].rpartition("-")[2] for tag, own in self.tags if tag in ("h2", "h3") and "id" in own]


def report_of(folder: Path, *more: Path, out: Path) -> Page:
    """The report of these runs."""
    return Page(write_report([folder, *more], out / "report.html").path.read_text(encoding="utf-8"))


def stopped_run(out: Path, units: int, **options: object) -> None:
    """A run that is interrupted once so many units have ended; 0: before the first."""

    def on_step(done: int, successes: int, asked: int) -> None:
        if done >= units:
            raise KeyboardInterrupt

    def on_plan(planned: int, stored: int) -> None:
        if not units:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        small_run(out=out, listener=Listener(on_step=on_step, on_plan=on_plan), **options)  # type: ignore[arg-type]


def touchy_target(image: int) -> CallableTarget:
    """The digits net, with NaN for one image of the set once a pixel of it is changed."""
    guilty = torch.from_numpy(digits("test").image(image)) / 255

    def score(batch: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            scores: torch.Tensor = digits_net()(batch)
        scores[(batch != guilty).flatten(1).sum(1) == 1] = float("nan")
        return scores

    return CallableTarget(score, "logits", name="touchy")


def wrong_labels() -> ImageSet:
    """Digits whose labels are all wrong."""
    images = digits("test")
    assert images.labels is not None
    return ImageSet.from_arrays(images.stack(range(9)), (images.labels[:9] + 5) % 10)


def label_target() -> CallableTarget:
    """The digits net as a function that returns labels only."""

    def score(batch: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            labels: torch.Tensor = digits_net()(batch).argmax(1)
        return labels

    return CallableTarget(score, "labels", name="labels", classes=10)


@pytest.fixture(scope="session")
def untargeted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run at 1 and 3 pixels with the baseline, on a set that can be loaded again."""
    out = tmp_path_factory.mktemp("report") / "untargeted"
    small_run(out=out, pixels=(1, 3), limit=10, budget=801, save_images=True)
    return out


@pytest.fixture(scope="session")
def targeted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run towards every other class."""
    out = tmp_path_factory.mktemp("report") / "targeted"
    small_run(out=out, goal="targeted", pixels=(1, 3), limit=3)
    return out


@pytest.fixture(scope="session")
def page(untargeted: Path, tmp_path_factory: pytest.TempPathFactory) -> Page:
    """The report of the untargeted run."""
    return report_of(untargeted, out=tmp_path_factory.mktemp("page"))
