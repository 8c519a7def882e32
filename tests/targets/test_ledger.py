"""The ledger: it adds up in memory, in its file, over sessions and after a session that was cut off."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinprick.errors import HaltError, InputError
from pinprick.targets.ledger import COUNTS, PURPOSES, Counts, Ledger, read_ledger, stored_ledger

ENDS = ("remembered", "cached", "answered", "failed", "cut")
EVENTS = st.lists(
    st.tuples(st.sampled_from(PURPOSES), st.integers(1, 50), st.sampled_from((*ENDS, "nothing"))), max_size=12
)


def book(ledger: Ledger, events: list[tuple[str, int, str]]) -> None:
    for purpose, images, end in events:
        with ledger.charging(purpose):  # type: ignore[arg-type]
            ledger.note(asked=images)
            if end in ("answered", "failed"):
                ledger.sending(images, again=False)
            if end != "nothing":
                ledger.note(**{end: images})


@given(first=EVENTS, second=EVENTS)
def test_what_is_open_when_a_session_is_cut_off_is_lost_and_all_adds_up(
    first: list[tuple[str, int, str]], second: list[tuple[str, int, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("ledger") / "ledger.jsonl"
    one = Ledger()
    book(one, first[:3])
    one.keep(path)
    book(one, first[3:])
    one.close()
    # The process was ended within a line.
    with path.open("ab") as file:
        file.write(b'{"for": "units", "ask')
    two = Ledger()
    two.keep(path)
    book(two, second)
    two.close()
    total = two.total()
    assert total.asked == sum(images for _, images, _ in [*first, *second])
    assert total.lost == sum(images for _, images, end in first if end == "nothing")
    for end in ENDS:
        assert getattr(total, end) == sum(images for _, images, what in [*first, *second] if what == end)
    found = read_ledger(path)
    assert sum(counts.open() for counts in found.values()) == 0
    assert sum(counts.asked for counts in found.values()) == total.asked
    stored = stored_ledger(path.parent)
    assert stored is not None
    assert list(stored) == ["total", *PURPOSES]
    assert stored["total"].asked == total.asked


@given(budget=st.integers(1, 60), requests=st.lists(st.integers(1, 20), max_size=12))
def test_no_more_is_sent_than_the_budget_holds(budget: int, requests: list[int]) -> None:
    ledger = Ledger(budget)
    for images in requests:
        fits = ledger.sent + images <= budget
        try:
            ledger.sending(images, again=False)
        except HaltError:
            assert not fits
        else:
            assert fits
    assert ledger.sent <= budget
    assert ledger.left == budget - ledger.sent


def test_a_disk_that_is_full_for_a_while_leaves_no_part_of_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write may take a part of what it is given, and only the next one fails."""
    path, ledger = tmp_path / "ledger.jsonl", Ledger()
    ledger.keep(path)
    ledger.note(asked=3)
    write, room = os.write, [5]

    def written(file: int, data: bytes) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        part = write(file, data[: room[0]])
        room[0] -= part
        return part

    with monkeypatch.context() as patch:
        patch.setattr("pinprick.targets.ledger.os.write", written)
        with pytest.raises(InputError, match="No space left"):
            ledger.sending(3, again=False)
    assert ledger.sent == 0
    ledger.sending(2, again=False)
    ledger.close()
    assert read_ledger(path)["units"] == Counts(asked=3, lost=3, sent=2, requests=1)


def test_nothing_is_sent_for_a_ledger_that_is_closed(tmp_path: Path) -> None:
    ledger = Ledger()
    ledger.keep(tmp_path / "ledger.jsonl")
    ledger.close()
    with pytest.raises(HaltError, match="ended"):
        ledger.sending(1, again=False)
    assert ledger.sent == 0


@pytest.mark.parametrize(
    "line",
    ["{", "[]", "3", '{"for": "others"}', '{"for": "units", "asked": -1}', '{"for": "units", "asked": true}', "\xff"],
)
def test_a_file_that_is_no_ledger_is_refused(line: str, tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(line.encode("latin-1") + b"\n")
    with pytest.raises(InputError, match="cannot be read"):
        Ledger().keep(path)
    assert stored_ledger(tmp_path / "nothing") is None


def test_the_counts_are_those_that_the_documents_name() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "remote.md").read_text(encoding="utf-8")
    assert [name for name in COUNTS if f"| `{name}` |" not in text] == []
    assert vars(Counts()).keys() == set(COUNTS)
