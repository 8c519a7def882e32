"""Vulnerability maps in the report: the right pixels in the right colours, and sensible words in every state."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as PILImage

from pinprick.data.digits import digits
from pinprick.metrics.vulnerability import maps
from pinprick.outcomes import VulnerabilityMap
from pinprick.report.figures import style, vulnerability_figure
from pinprick.report.maps import FOOLED, NEAR, UNASKED, counts_picture, filled_map, map_cards, margins_picture
from pinprick.report.originals import find_originals
from pinprick.report.page import write_report
from pinprick.runs.measures import measures
from pinprick.runs.store import read_manifest, read_outcomes
from tests.report.conftest import Page, label_target, report_of
from tests.report.test_page import check_ids, check_self_contained
from tests.runs.conftest import small_run

SWEEP: dict[str, Any] = {"attack": "sweep", "budget": None, "baseline": "none", "limit": 12}


def pixels_of(uri: str) -> NDArray[np.uint8]:
    """``(H, W, 4)`` of a picture in a data URI."""
    data = base64.b64decode(uri.removeprefix("data:image/png;base64,"))
    return np.asarray(PILImage.open(io.BytesIO(data)))


def where(picture: NDArray[np.uint8], colour: tuple[int, int, int]) -> NDArray[np.bool_]:
    """Positions of a colour that are not transparent."""
    found: NDArray[np.bool_] = (picture[..., :3] == colour).all(axis=2) & (picture[..., 3] > 0)
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("maps") / "run"
    small_run(out=out, pixels=(1, 2), **(SWEEP | {"baseline": "random", "budget": 129}))
    return out


def test_pictures_show_what_the_maps_hold(folder: Path) -> None:
    manifest = read_manifest(folder)
    assert manifest is not None
    table = read_outcomes(folder)
    cards = map_cards(measures(folder), table, find_originals(folder, manifest), 8)
    assert len(cards) == 8
    assert {card.positions_fooled > 0 for card in cards[:2]} == {True, False}, "in turns"
    names = table["image"].to_pylist()
    of_pixels = table["pixels"].to_pylist()
    stored = {names[row]: found for row, found in maps(table, 8, 8) if of_pixels[row] == 1}
    images = digits("test")
    for card in cards:
        found = stored[card.image]
        assert found.margin is not None
        assert card.picture is not None
        assert card.margins is not None
        assert card.before is not None
        np.testing.assert_array_equal(pixels_of(card.picture), images.image(images.names.index(card.image))[0])
        counts, margins = pixels_of(card.counts), pixels_of(card.margins)
        np.testing.assert_array_equal(where(counts, FOOLED), found.fooled > 0)
        np.testing.assert_array_equal(where(margins, FOOLED), found.margin < 0)
        assert not where(margins, NEAR)[found.margin >= card.before].any()
        # The nearer to the goal, the deeper.
        short = found.margin >= 0
        order = np.argsort(found.margin[short])
        assert (np.diff(margins[..., 3][short][order].astype(int)) <= 0).all()
        assert (card.positions_fooled, card.changes_fooled) == ((found.fooled > 0).sum(), found.fooled.sum())
        assert card.least == found.margin.min() == found.margin[card.best]
        assert card.whole


def test_the_page_has_the_maps_and_their_figures(folder: Path, tmp_path: Path) -> None:
    page = report_of(folder, out=tmp_path)
    check_self_contained(page)
    check_ids(page)
    assert "maps" in page.headings
    assert len(page.all("li", class_="mapped")) == 12
    row = next(row for row in measures(folder).rows if row.row.attack == "sweep" and row.row.pixels == 1)
    own = row.vulnerability
    assert own is not None
    assert own.ceiling.rate is not None
    assert own.positions is not None
    assert f"{100 * own.ceiling.rate:.1f} %" in page.text
    assert f"{100 * own.positions.mean:.2f} %" in page.text
    assert "Nothing was left out" not in page.text, "two pixels share a budget that is enough for one"
    assert "black and to white" in page.text
    assert "asked them all whether or not one had succeeded" in page.text


def test_a_run_without_maps_has_no_such_section(page: Page) -> None:
    assert "maps" not in page.headings
    assert not page.all("li", class_="mapped")


def test_states_of_maps_are_told(tmp_path: Path) -> None:
    small_run(out=tmp_path / "whole", **SWEEP)
    assert "Nothing was left out" in report_of(tmp_path / "whole", out=tmp_path).text
    small_run(out=tmp_path / "part", **(SWEEP | {"budget": 40}))
    page = report_of(tmp_path / "part", out=tmp_path)
    assert "Not all of it was asked" in page.text
    assert "not asked (gray)" in page.text
    assert "none that was asked fools" in page.text
    assert "no colour fools anywhere" not in page.text
    small_run(out=tmp_path / "labels", target=label_target(), **SWEEP)
    page = report_of(tmp_path / "labels", out=tmp_path)
    check_self_contained(page)
    assert len(page.all("li", class_="mapped")) == 12
    assert [own for own in page.all("img") if own["alt"].startswith("Map of the least margin")] == []
    small_run(out=tmp_path / "targets", goal="targeted", targets="least-likely", **SWEEP)
    assert "or the target" in report_of(tmp_path / "targets", out=tmp_path).text
    # Several runs share the room for maps.
    page = report_of(tmp_path / "whole", tmp_path / "part", out=tmp_path)
    check_ids(page)
    assert len(page.all("li", class_="mapped")) == 12


def test_positions_that_were_not_asked_are_gray_and_blocks_show_the_worst() -> None:
    asked = np.full((200, 260), 8, np.int32)
    asked[:, 130:] = 0
    fooled = np.zeros((200, 260), np.int32)
    fooled[7, 11] = 3
    margin = np.where(asked > 0, 2.0, np.nan)
    margin[7, 11] = -1.0
    found = VulnerabilityMap(asked, fooled, margin)
    counts, margins = pixels_of(counts_picture(found, 3)), pixels_of(margins_picture(found, 2.0, 3))
    assert counts.shape == margins.shape == (67, 87, 4)
    for picture in (counts, margins):
        assert np.argwhere(where(picture, FOOLED)).tolist() == [[2, 3]]
        assert where(picture, UNASKED)[:, 44:].all()
        assert not where(picture, UNASKED)[:, :44].any()
    assert not where(margins, NEAR).any(), "as far as the unchanged image"


def test_what_was_asked_of_few_positions_is_spread_over_their_blocks() -> None:
    """A few dots on gray could not be seen."""
    asked, fooled = np.zeros((20, 27), np.int32), np.zeros((20, 27), np.int32)
    margin = np.full((20, 27), np.nan)
    for row, column, value in ((4, 4, 1.5), (4, 12, -0.5), (12, 20, 2.5)):
        asked[row, column], margin[row, column], fooled[row, column] = 8, value, 2 * (value < 0)
    shown = filled_map(VulnerabilityMap(asked, fooled, margin), 8)
    assert shown.margin is not None
    assert shown.asked.shape == (20, 27)
    assert (shown.asked[:8, :16] == 8).all()
    assert (shown.margin[:8, :8] == 1.5).all()
    assert (shown.margin[:8, 8:16] == -0.5).all()
    assert (shown.fooled[:8, 8:16] == 2).all()
    assert shown.fooled.sum() == 2 * 64
    assert (shown.margin[8:16, 16:24] == 2.5).all()
    assert np.isnan(shown.margin[:, 24:]).all()
    assert np.isnan(shown.margin[16:]).all()
    assert (shown.asked > 0).sum() == np.isfinite(shown.margin).sum() == 3 * 64
    assert filled_map(VulnerabilityMap(asked, fooled, None), 8).margin is None


def test_pictures_keep_to_their_size(folder: Path) -> None:
    manifest = read_manifest(folder)
    assert manifest is not None
    found = map_cards(measures(folder), read_outcomes(folder), find_originals(folder, manifest), 12, size=2000)
    assert 1 <= len(found) < 12
    assert map_cards(measures(folder), read_outcomes(folder), find_originals(folder, manifest), 0) == ()


def test_the_figure_is_written_too(folder: Path, tmp_path: Path) -> None:
    report = write_report([folder], tmp_path / "report.html", figures=tmp_path / "figures")
    assert {path.name for path in report.figures} >= {"maps-1px.png", "maps-1px.svg", "maps-1px.pdf"}
    own = measures(folder).rows[0].vulnerability
    assert own is not None
    with style():
        (axes,) = vulnerability_figure(own, "1 pixel").axes
    # One cell for each position that can be fooled, and the frame.
    assert len(axes.patches) == (own.counts > 0).sum() + 1
