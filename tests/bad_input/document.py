"""docs/errors.md, made of the cases and of what came of them."""

from __future__ import annotations

import re
from pathlib import Path

from tests.bad_input.case import Case, Result, Section

PATH = Path(__file__).resolve().parents[2] / "docs" / "errors.md"

TOP = """# Bad input, and what is said of it

Every mistake that can be made with what is given to pinprick ends in one line that names the input, what is wrong with
it and what would be right, and in an exit code: 2 for input that cannot be used, 3 where some units have no verdict, 4
where a run ended before its last unit, 130 after Ctrl-C. From Python the same line is the text of a
`pinprick.InputError`. What is stored already is never lost by it.

The tables are made by running each case (`python -m tests.bad_input.write`), and `make test` runs them again and
compares. Cases are in `tests/bad_input/`. Where not said otherwise the command is

    pinprick attack --model model.py:net --data photos --labels predicted --outputs logits \\
        --attack random --budget 4 --limit 2 --out run

in a folder with a model of three classes, six RGB photos of 12 x 10 pixels in three sub-folders, and no `run`; the
tables show what is added or changed. `DIGEST` stands for a hexadecimal digest, `PORT` for a port.

"""

HEAD = "| you give | exit code | you read on stderr | kept |\n| --- | --- | --- | --- |\n"


def options_text(case: Case) -> str:
    """The options of a case as a reader sees them."""
    if case.call is not None:
        return code(case.shown)
    without = re.findall(r"--([\w-]+) - ", case.options + " ")
    rest = re.sub(r"--[\w-]+ -( |$)", "", case.options).strip()
    told = [code(rest)] if rest else []
    told += [f"no {code('--' + name)}" for name in without]
    return ", ".join(told)


def code(text: str) -> str:
    """A text as Markdown's code in a table."""
    fence = "``" if "`" in text else "`"
    space = " " if "`" in text else ""
    return f"{fence}{space}{text}{space}{fence}".replace("|", r"\|")


def row(case: Case, result: Result) -> str:
    """One row of a table."""
    given = "<br>".join(part for part in (case.given, options_text(case)) if part)
    exit_code = "" if result.code is None else str(result.code)
    printed = "<br>".join(code(line) for line in result.lines) or "nothing"
    return f"| {given} | {exit_code} | {printed} | {result.kept} |"


def head(section: Section) -> str:
    """What stands above the rows of a section."""
    words = f"{section.words}\n\n" if section.words else ""
    return f"## {section.title}\n\n{words}{HEAD}"
