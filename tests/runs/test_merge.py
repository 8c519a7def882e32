"""Many files of outcomes become one sorted table, whatever came in which of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pinprick.data.digits import digits
from pinprick.errors import InputError
from pinprick.runs import merge as merge_module
from pinprick.runs import store as store_module
from pinprick.runs.clean import clean_pass
from pinprick.runs.manifest import run_id
from pinprick.runs.store import Store, read_manifest, read_outcomes
from pinprick.runs.table import SCHEMA, combine, read_pieces, write_table
from tests.conftest import digits_target
from tests.runs.conftest import small_run


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    """A few outcomes, in the order of their keys."""
    out = tmp_path_factory.mktemp("merge") / "run"
    return small_run(out=out, limit=6, pixels=(1, 2), attack="random", budget=3).table


def pieces(path: Path) -> Iterator[pa.Table]:
    for piece, _ in read_pieces(path):
        yield piece


def unchecked(_path: Path, _piece: pa.Table, _first: int) -> None:
    pass


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.lists(st.integers(0, 11), max_size=8), max_size=4),
    group=st.sampled_from([1, 2000, 5000, 2**22]),
    readings=st.sampled_from([1, 3, 16]),
)
def test_the_finished_table_is_that_of_all_rows(
    rows: list[list[int]],
    group: int,
    readings: int,
    outcomes: pa.Table,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In row groups of any size; and of a key that is there twice the later row stays, which its ``asked`` tells."""
    monkeypatch.setattr(merge_module, "GROUP_BYTES", group)
    monkeypatch.setattr(merge_module, "READINGS", readings)
    place = SCHEMA.get_field_index("answered")
    tables, count = [], 0
    for numbers in rows:
        table = outcomes.take(pa.array(numbers, pa.int64()))
        # Each row is told from every other by a number of its own.
        own = pa.array(np.arange(count, count + len(numbers)), pa.int64())
        tables.append(table.set_column(place, SCHEMA.field(place), own))
        count += len(numbers)
    files = [tmp_path / f"{number}.parquet" for number in range(len(tables))]
    for file, table in zip(files, tables, strict=True):
        write_table(file, table, "a")
    merge_module.merge(tmp_path / "all.parquet", files, unchecked, pieces, "a")
    wanted = combine(tables)
    assert pa.concat_tables(pieces(tmp_path / "all.parquet")).equals(wanted)
    # The same rows in one file give the same bytes.
    write_table(tmp_path / "one.parquet", wanted, "a")
    merge_module.merge(tmp_path / "again.parquet", [tmp_path / "one.parquet"], unchecked, pieces, "a")
    assert (tmp_path / "again.parquet").read_bytes() == (tmp_path / "all.parquet").read_bytes()
    dropped = wanted["key"].to_pylist()[::2]
    merge_module.merge(tmp_path / "one.parquet", [tmp_path / "one.parquet"], unchecked, pieces, "a", dropped)
    assert pa.concat_tables(pieces(tmp_path / "one.parquet"))["key"].to_pylist() == wanted["key"].to_pylist()[1::2]


def test_a_run_in_row_groups_is_read_and_continued_like_any(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {"attack": "random", "budget": 5, "pixels": (1, 3)}
    whole = small_run(out=tmp_path / "whole", limit=9, **options).table
    monkeypatch.setattr(merge_module, "GROUP_BYTES", 3000)
    monkeypatch.setattr(store_module, "FLUSH_ROWS", 3)
    small_run(out=out, limit=4, **options)
    assert small_run(out=out, limit=9, **options).table.equals(whole)
    assert pq.read_metadata(out / "outcomes.parquet").num_row_groups > 2
    assert read_outcomes(out).equals(whole)
    small_run(out=tmp_path / "at once", limit=9, **options)
    assert (out / "outcomes.parquet").read_bytes() == (tmp_path / "at once" / "outcomes.parquet").read_bytes()
    manifest = read_manifest(out)
    assert manifest is not None
    with Store(out) as store:
        store.run_id = run_id(manifest)
        assert store.statuses() == dict(zip(*(whole[name].to_pylist() for name in ("key", "status")), strict=True))
        store.forget(whole["key"].to_pylist()[2:5])
        assert store.table()["key"].to_pylist() == [*whole["key"].to_pylist()[:2], *whole["key"].to_pylist()[5:]]


def test_an_odd_value_is_named_by_its_row_in_the_file(out: Path, outcomes: pa.Table) -> None:
    changed = outcomes.to_pylist()
    changed[7]["asked"] = -1
    path = out.parent / "part.parquet"
    pq.write_table(pa.Table.from_pylist(changed, schema=SCHEMA), path, row_group_size=3)
    with pytest.raises(InputError, match="column asked, row 7: -1 is less than none"):
        list(read_pieces(path))


def test_right_images_are_those_that_were_scored() -> None:
    """Made one by one from the table of scores, they are what the classifier said."""
    target, images = digits_target(), digits("test")
    clean = clean_pass(target, images, wanted=30, order=np.arange(40), rows_a_pass=64, predicted=False)
    assert len(clean.right) == 30
    assert [image.index for image in clean.right[2:5]] == [clean.right[number].index for number in (2, 3, 4)]
    whole = target.scores(target.images(images.stack(range(64))))
    for image in clean.right:
        assert image.name == images.names[image.index]
        assert image.scores.dtype == whole.dtype
        assert np.array_equal(image.scores, whole[image.index])
        assert int(np.argmax(image.scores)) == image.label
