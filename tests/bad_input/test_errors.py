"""Every case of bad input, run as its user would, says what docs/errors.md says it does."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bad_input.case import Case, Section, result_of
from tests.bad_input.cases import SECTIONS
from tests.bad_input.document import PATH, TOP, head, row

CASES = [(section, case) for section in SECTIONS for case in section.cases]
TEXT = PATH.read_text(encoding="utf-8")


@pytest.mark.parametrize(("section", "case"), CASES, ids=[f"{s.title}: {c.given}" for s, c in CASES])
def test_the_document_says_what_is_printed(section: Section, case: Case, tmp_path: Path) -> None:
    result = result_of(case, tmp_path)
    assert not any("Traceback" in line for line in result.lines)
    if result.code != 0:
        assert result.lines, "a mistake is told"
    told = TEXT.partition(head(section))[2].partition("\n\n")[0].splitlines()
    assert row(case, result) in told, "if this is as it should be: python -m tests.bad_input.write"


def test_the_document_has_these_cases_and_no_others() -> None:
    assert TEXT.startswith(TOP)
    place = len(TOP)
    for section in SECTIONS:
        assert TEXT.startswith(head(section), place), section.title
        place += len(head(section))
        for case in section.cases:
            end = TEXT.index("\n", place)
            assert TEXT[place:end].startswith(f"| {case.given}"), case.given
            place = end + 1
        place += 1
    assert place >= len(TEXT)


def test_cases_are_told_apart() -> None:
    names = [(section.title, case.given) for section, case in CASES]
    assert len(set(names)) == len(names)
