"""The page in Chromium: nothing in the console, no request, accessible, by keyboard, light, dark and printed."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pinprick.report.page import write_report
from pinprick.runs.measures import measures
from tests.report.conftest import stopped_run, wrong_labels
from tests.report.test_page import hostile_run
from tests.runs.conftest import small_run

pytestmark = pytest.mark.browser

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SHOWN_FIRST = 24


@dataclass
class Visit:
    """A page that is open, and what it said and asked for meanwhile."""

    page: Any
    console: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def value(self, script: str) -> Any:
        """What an expression of JavaScript comes to in the page."""
        return self.page.evaluate(script)

    def shown(self) -> int:
        """Cards that are to be seen."""
        return int(self.value("[...document.querySelectorAll('.card')].filter((c) => c.offsetParent).length"))


Open = Callable[..., Visit]


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium of this machine, driven by Playwright."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="Playwright is not installed: make test-browser, or pip install '.[browser]'"
    )
    program = next((path for path in map(shutil.which, NAMES) if path), None)
    if program is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is on the path (Debian: apt-get install chromium)")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def visit(browser: Any) -> Iterator[Open]:
    """Open a report; at the end nothing may have been said in the console or asked for from elsewhere."""
    visits: list[Visit] = []
    contexts: list[Any] = []

    def open_(path: Path, **options: Any) -> Visit:
        context = browser.new_context(**({"viewport": {"width": 1200, "height": 900}} | options))
        contexts.append(context)
        made = Visit(context.new_page())
        made.page.on("console", lambda message: made.console.append(message.text))
        made.page.on("pageerror", lambda error: made.console.append(str(error)))
        made.page.on("request", lambda request: made.requests.append(request.url))
        made.page.goto(path.resolve().as_uri())
        visits.append(made)
        return made

    yield open_
    for made in visits:
        assert made.console == []
        assert [url[:80] for url in made.requests if not url.startswith("data:")] == [made.page.url.partition("#")[0]]
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def reports(untargeted: Path, targeted: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Reports of every kind."""
    folder = tmp_path_factory.mktemp("pages")
    small_run(images=wrong_labels(), out=folder / "wrong", first=9, limit=None)
    stopped_run(folder / "stopped", 3, limit=8)
    hostile_run(folder / "hostile")
    kinds = {
        "untargeted": [untargeted],
        "targeted": [targeted],
        "several": [untargeted, targeted, folder / "hostile"],
        "nothing right": [folder / "wrong"],
        "stopped": [folder / "stopped"],
        "hostile names": [folder / "hostile"],
    }
    return {name: write_report(runs, folder / f"{name}.html").path for name, runs in kinds.items()}


KINDS = ("untargeted", "targeted", "several", "nothing right", "stopped", "hostile names")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("kind", KINDS)
def test_axe_finds_nothing(kind: str, scheme: str, visit: Open, reports: dict[str, Path]) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed: make test-browser")
    made = visit(reports[kind], color_scheme=scheme, bypass_csp=True)
    made.value("document.querySelectorAll('details').forEach((details) => { details.open = true; })")
    found = axe.Axe().run(made.page).response["violations"]
    assert [(one["id"], node["html"][:120]) for one in found for node in one["nodes"]] == []


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_itself_never_scrolls_sideways(kind: str, visit: Open, reports: dict[str, Path]) -> None:
    for width in (360, 768, 1200):
        made = visit(reports[kind], viewport={"width": width, "height": 800})
        assert made.value("document.documentElement.scrollWidth") <= width


def test_dark_is_dark_and_light_is_light_by_the_system_and_by_choice(visit: Open, reports: dict[str, Path]) -> None:
    def lightness(made: Visit) -> float:
        colour = made.value("getComputedStyle(document.documentElement).backgroundColor")
        return sum(map(int, colour.removeprefix("rgb(").removesuffix(")").split(","))) / 3

    light = visit(reports["untargeted"], color_scheme="light")
    dark = visit(reports["untargeted"], color_scheme="dark")
    assert lightness(dark) < 60
    assert lightness(light) > 230
    for made in (light, dark):
        made.page.locator("#theme").select_option("dark")
        assert lightness(made) < 60
        made.page.locator("#theme").select_option("light")
        assert lightness(made) > 230
    dark.page.emulate_media(media="print", color_scheme="dark")
    assert lightness(dark) > 230, "paper is white"


def test_filters_work_by_keyboard(visit: Open, reports: dict[str, Path], untargeted: Path) -> None:
    made = visit(reports["untargeted"])
    page = made.page
    cards = int(made.value("document.querySelectorAll('.card').length"))
    assert cards > SHOWN_FIRST == made.shown()
    # From the top of the page the Tab key alone comes to it.
    for _ in range(60):
        page.keyboard.press("Tab")
        if made.value("document.activeElement.name === 'outcome'"):
            break
    assert made.value("document.activeElement.name") == "outcome"
    page.keyboard.type("held")
    page.keyboard.press("Tab")
    assert page.locator("select[name=outcome]").input_value() == "held"
    held = sum(row.row.n - row.row.successes for row in measures(untargeted).rows)
    assert made.shown() == min(held, SHOWN_FIRST) == page.locator(".card.held:visible").count()
    assert f"{held} units" in page.locator("output").inner_text()
    page.locator("select[name=attack]").select_option("random")
    of_random = sum(row.row.n - row.row.successes for row in measures(untargeted).rows if row.row.attack == "random")
    assert made.shown() == of_random < held
    assert page.locator("output").inner_text() == f"{of_random} units"
    page.get_by_role("button", name="Clear filters").press("Enter")
    page.locator("output", has_text=f"{SHOWN_FIRST} of {cards} units").wait_for()
    assert made.shown() == SHOWN_FIRST
    page.get_by_role("button", name=f"Show all {cards}").press("Enter")
    assert made.shown() == cards
    assert made.value(f"document.activeElement === document.querySelectorAll('.card')[{SHOWN_FIRST}]")


def test_each_filter_leaves_the_units_it_says(visit: Open, reports: dict[str, Path]) -> None:
    made = visit(reports["targeted"])
    for attribute in ("outcome", "attack", "pixels", "original", "after"):
        chooser = made.page.locator(f"select[name={attribute}]")
        value = chooser.locator("option").nth(1).get_attribute("value")
        chooser.select_option(value)
        values = made.value(
            f"[...document.querySelectorAll('.card')].filter((c) => c.offsetParent).map((c) => c.dataset.{attribute})"
        )
        assert set(values) == {value}
        chooser.select_option("")


@pytest.mark.parametrize("media", ["screen", "print"])
@pytest.mark.parametrize("width", [360, 1200])
def test_every_mark_lies_on_its_pixel(media: str, width: int, visit: Open, reports: dict[str, Path]) -> None:
    made = visit(reports["several"], viewport={"width": width, "height": 800})
    made.page.emulate_media(media=media)
    wrong = made.value(
        """[...document.querySelectorAll(".card")].filter((card) => card.offsetParent).flatMap((card) => {
            const image = card.querySelectorAll("img")[1], box = image.getBoundingClientRect();
            const places = [...card.querySelectorAll(".changes li")].map((li) => li.textContent.match(/row (\\d+), column (\\d+)/));
            return [...card.querySelectorAll(".mark")].slice(0, 6).map((mark, i) => {
                const at = mark.getBoundingClientRect();
                const row = (at.top - box.top) / box.height * image.naturalHeight;
                const column = (at.left - box.left) / box.width * image.naturalWidth;
                return Math.max(Math.abs(row - places[i][1]), Math.abs(column - places[i][2]),
                    Math.abs(box.width / box.height - image.naturalWidth / image.naturalHeight));
            });
        })"""  # noqa: E501
    )
    assert len(wrong) > 10
    assert max(wrong) < 0.05


def test_marks_can_be_taken_off(visit: Open, reports: dict[str, Path]) -> None:
    made = visit(reports["untargeted"])
    assert made.page.locator(".mark:visible").count() > 10
    made.page.get_by_label("Outline the changed pixels").press("Space")
    assert made.page.locator(".mark:visible").count() == 0


def test_copy_buttons_copy_what_they_stand_by(visit: Open, reports: dict[str, Path]) -> None:
    made = visit(reports["untargeted"], permissions=["clipboard-read", "clipboard-write"])
    for name, part in (("Copy this paragraph", "differential evolution with 400"), ("Copy BibTeX", "@article")):
        made.page.get_by_role("button", name=name).press("Enter")
        made.page.locator(".status", has_text="Copied.").wait_for(state="attached")
        assert part in made.value("navigator.clipboard.readText()")
        made.page.locator(".status", has_text="Copied.").wait_for(state="detached")


def test_without_scripts_everything_can_be_read_and_nothing_dead_is_shown(
    visit: Open, reports: dict[str, Path]
) -> None:
    made = visit(reports["untargeted"], java_script_enabled=False)
    page = made.page
    assert page.locator(".card:visible").count() == page.locator(".card").count() > SHOWN_FIRST
    assert page.locator(".filters:visible, .copy:visible, .more:visible, #theme:visible").count() == 0
    page.get_by_label("Outline the changed pixels").press("Space")
    assert page.locator(".mark:visible").count() == 0


def test_print_leaves_out_what_only_a_screen_can_use(visit: Open, reports: dict[str, Path]) -> None:
    made = visit(reports["untargeted"])
    made.page.emulate_media(media="print")
    assert made.page.locator(".filters:visible, .copy:visible, .more:visible, #theme:visible, nav:visible").count() == 0
    assert made.page.pdf().startswith(b"%PDF")


def test_hostile_names_do_nothing(visit: Open, reports: dict[str, Path]) -> None:
    dialogs: list[str] = []
    made = visit(reports["hostile names"])
    made.page.on("dialog", lambda dialog: dialogs.append(dialog.message))
    assert made.page.get_by_text("<script>alert(1)</script>").count() > 0
    assert made.page.locator("h1").inner_text().startswith("<script>alert(2)")
    assert made.value("document.querySelectorAll('img[src=x]').length") == 0
    assert dialogs == []
