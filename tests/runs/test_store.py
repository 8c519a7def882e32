"""The store: atomic parts, one table, the same bytes, and nothing of another run."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pinprick.data.digits import digits
from pinprick.data.sets import load_images
from pinprick.edits import Edits
from pinprick.errors import InputError
from pinprick.outcomes import Candidate
from pinprick.runs import store as store_module
from pinprick.runs.manifest import called, run_id
from pinprick.runs.measures import measures
from pinprick.runs.result import Listener, RunResult
from pinprick.runs.store import SCHEMA, SCHEMA_VERSION, Store, outcome_row, read_manifest, read_outcomes
from pinprick.runs.table import read_table, write_table
from pinprick.verify import verify
from tests.conftest import digits_target, make_unit
from tests.runs.conftest import small_run


def test_the_table_is_sorted_by_key_holds_no_times_and_states_its_schema(out: Path) -> None:
    result = small_run(out=out, pixels=(1, 3), limit=4)
    table = pq.read_table(out / "outcomes.parquet")
    assert table.schema.equals(SCHEMA)
    assert table.schema.metadata[b"pinprick_schema_version"] == str(SCHEMA_VERSION).encode()
    keys = table["key"].to_pylist()
    assert keys == sorted(keys)
    assert len(keys) == len(set(keys)) == 16
    assert not any("time" in name or "second" in name for name in table.column_names)
    assert table.equals(result.table)
    assert list((out / "parts").iterdir()) == []


def test_half_written_parts_are_not_read(out: Path) -> None:
    small_run(out=out, limit=3)
    before = read_outcomes(out)
    (out / "parts" / "part-000009.parquet.part").write_bytes(b"PAR1 and then the power went")
    assert read_outcomes(out).equals(before)


def test_a_part_that_is_broken_is_named(out: Path) -> None:
    small_run(out=out, limit=3)
    (out / "parts" / "part-000009.parquet").write_bytes(b"PAR1 and then the power went")
    with pytest.raises(InputError, match="part-000009"):
        read_outcomes(out)


def test_a_run_that_ends_while_it_is_read_is_read_anew(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its parts go into the finished table between the moment they are listed and the moment they are read."""
    small_run(out=out, limit=3)
    table, finished = read_outcomes(out), (out / "outcomes.parquet").read_bytes()
    part = out / "parts" / "part-000001.parquet"
    ended: list[Path] = []

    def read(path: Path) -> tuple[pa.Table, str | None]:
        if path == part:
            (out / "outcomes.parquet").write_bytes(finished)
            part.unlink()
            ended.append(path)
        return read_table(path)

    monkeypatch.setattr(store_module, "read_table", read)
    for extended in (False, True):
        part.write_bytes(finished)
        if not extended:
            (out / "outcomes.parquet").unlink()
        assert read_outcomes(out).equals(table)
    part.write_bytes(finished)
    assert measures(out).units == len(table)
    assert ended == [part] * 3


def test_a_folder_whose_files_always_go_is_given_up(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_run(out=out, limit=3)
    monkeypatch.setattr(store_module, "stored_parts", lambda folder: [folder / "parts" / "part-000001.parquet"])
    with pytest.raises(InputError, match=r"part-000001.*cannot be read"):
        read_outcomes(out)


def test_only_pixels_that_change_are_stored() -> None:
    """Not one that is set to its own colour, and of one that is set twice only the later colour."""
    target, image = digits_target(), digits("test").image(0)
    unit = make_unit(target, image, pixels=3)
    own = [int(image[0, row, column]) for row, column in ((5, 1), (2, 3))]
    colours = [[(own[0] + 1) % 256], [own[1]], [(own[0] + 7) % 256]]
    edits = Edits(
        np.array([[5, 2, 5]], np.int32), np.array([[1, 3, 1]], np.int32), np.array([colours], np.uint8)
    )  # fmt: skip
    row = outcome_row(verify(Candidate(unit, edits, unit.scores, asked=4, answered=4), target.probabilities))
    assert (row["rows"], row["columns"], row["changed"]) == ([5], [1], 1)
    assert (row["colours"], row["colours_before"]) == ([colours[2]], [[own[0]]])


def test_stored_edits_are_as_many_as_pixels_changed(out: Path) -> None:
    for row in small_run(out=out, pixels=3, limit=4, attack="random", budget=60).table.to_pylist():
        assert len(row["rows"]) == len(row["columns"]) == row["changed"] <= 3
        assert all(after != before for after, before in zip(row["colours"], row["colours_before"], strict=True))


def test_of_a_key_stored_twice_there_is_one_row(out: Path) -> None:
    """As when a run is killed between writing the finished table and removing its parts."""
    small_run(out=out, limit=3)
    table = read_outcomes(out)
    (out / "parts" / "part-000001.parquet").write_bytes((out / "outcomes.parquet").read_bytes())
    assert read_outcomes(out).equals(table)
    finished = (out / "outcomes.parquet").read_bytes()
    small_run(out=out, limit=3)
    assert (out / "outcomes.parquet").read_bytes() == finished


def test_outcomes_without_a_manifest_are_not_adopted(out: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="stopped"):
        small_run(out=out, limit=3, listener=Listener(on_step=stop_with_one_part(out)))
    (part,) = (out / "parts").iterdir()
    (out / "manifest.json").unlink()
    for path in (out / "clean.parquet", out / "log.jsonl", out / "lock"):
        path.unlink(missing_ok=True)
    before = part.read_bytes()
    for read in (lambda: small_run(out=out, limit=3), lambda: read_manifest(out)):
        with pytest.raises(InputError, match=r"outcomes without a manifest \('parts/part-000001.parquet'\)"):
            read()
    assert part.read_bytes() == before
    finished = tmp_path / "finished"
    finished.mkdir()
    (finished / "outcomes.parquet").write_bytes(before)
    with pytest.raises(InputError, match=r"outcomes without a manifest \('outcomes.parquet'\)"):
        small_run(out=finished, limit=3)


def stop_with_one_part(out: Path) -> Callable[[int, int, int], None]:
    """Stop a run, as an error does, once one unit has ended; what has ended is then a part."""

    def on_step(done: int, _successes: int, _asked: int) -> None:
        if done:
            raise InputError("test", "stopped")

    return on_step


@pytest.mark.parametrize("mark", ["of another run", "of a run that is not named"])
@pytest.mark.parametrize("name", ["outcomes.parquet", "parts/part-000007.parquet"])
def test_outcomes_of_another_run_are_not_adopted(name: str, mark: str, out: Path, tmp_path: Path) -> None:
    small_run(out=out, limit=2)
    small_run(out=tmp_path / "other", limit=2, seed=1)
    table, own = read_table(tmp_path / "other" / "outcomes.parquet")
    assert own is not None
    write_table(out / name, table, own if mark == "of another run" else None)
    before = (out / name).read_bytes()
    with pytest.raises(InputError, match=rf"{Path(name).name}: they are of (a run that is not named|run {own[:12]})"):
        small_run(out=out, limit=2)
    assert (out / name).read_bytes() == before
    if name != "outcomes.parquet":
        with pytest.raises(InputError, match=r"part-000007.parquet: .* the folder is of run"):
            read_outcomes(out)
        manifest = (out / "manifest.json").read_bytes()
        (out / "manifest.json").unlink()
        with pytest.raises(InputError, match=r"part-000007.parquet: .* outcomes.parquet is of run"):
            read_outcomes(out)
        (out / "manifest.json").write_bytes(manifest)
        (out / name).unlink()
        assert len(small_run(out=out, limit=2).table) == 4


def test_files_say_which_run_they_are_of_and_equal_runs_give_equal_bytes(out: Path, tmp_path: Path) -> None:
    small_run(out=out, limit=2)
    small_run(out=tmp_path / "again", limit=2)
    table, own = read_table(out / "outcomes.parquet")
    assert own == run_id(json.loads((out / "manifest.json").read_text()))
    assert (out / "outcomes.parquet").read_bytes() == (tmp_path / "again" / "outcomes.parquet").read_bytes()
    for path, name in ((tmp_path / "same", own), (tmp_path / "other", "another")):
        write_table(path, table, name)
        assert (path.read_bytes() == (out / "outcomes.parquet").read_bytes()) == (name == own)


@pytest.mark.parametrize("damage", ["cut off", "one byte", "another table", "a folder"])
def test_a_damaged_part_is_named(damage: str, out: Path) -> None:
    small_run(out=out, limit=3)
    whole = (out / "outcomes.parquet").read_bytes()
    part = out / "parts" / "part-000002.parquet"
    if damage == "cut off":
        part.write_bytes(whole[: len(whole) // 2])
    elif damage == "one byte":
        part.write_bytes(whole[:200] + bytes([whole[200] ^ 1]) + whole[201:])
    elif damage == "another table":
        pq.write_table(pa.table({"key": ["a"]}), part)
    else:
        part.mkdir()
    for read in (lambda: small_run(out=out, limit=3), lambda: read_outcomes(out)):
        with pytest.raises(InputError, match=r"stored outcomes .*part-000002.parquet: cannot be read .* Move the file"):
            read()
    assert (out / "outcomes.parquet").read_bytes() == whole


def test_a_part_under_a_name_of_its_own_is_read_like_the_others(out: Path) -> None:
    small_run(out=out, limit=2)
    finished = (out / "outcomes.parquet").read_bytes()
    (out / "outcomes.parquet").rename(out / "parts" / "part-abc.parquet")
    result = small_run(out=out, limit=3)
    assert len(result.table) == 6
    assert list((out / "parts").iterdir()) == []
    small_run(out=(out.parent / "fresh"), limit=3)
    assert (
        (out / "outcomes.parquet").read_bytes() == (out.parent / "fresh" / "outcomes.parquet").read_bytes() != finished
    )


MISSING = object()
WRONG: list[tuple[str, object]] = [
    ("", []),
    ("", None),
    *((name, MISSING) for name in ("schema_version", "what", "passes", "versions", "machine", "clean", "events")),
    *(("schema_version", version) for version in (0, True, "1")),
    *(("passes.rows", rows) for rows in (MISSING, 0, -5, "x", None, True, 2.5, 10**12)),
    ("passes.incremental", []),
    *(("what.spec", spec) for spec in (MISSING, "spec")),
    ("machine", "mine"),
    ("clean.images", "8"),
]


@pytest.mark.parametrize(("field", "value"), WRONG)
def test_a_manifest_of_the_wrong_shape_is_refused_by_field(field: str, value: object, finished: Path) -> None:
    path = finished / "manifest.json"
    whole = path.read_text()
    *above, last = field.split(".")
    manifest = part = {"": json.loads(whole)} if not field else json.loads(whole)
    for name in above:
        part = part[name]
    if value is MISSING:
        del part[last]
    else:
        part[last] = value
    path.write_text(json.dumps(manifest if field else manifest[""]))
    message = re.escape(f"manifest {path}: {field or 'all of it'}: ")
    try:
        with pytest.raises(InputError, match=message):
            read_manifest(finished)
        with Store(finished) as store, pytest.raises(InputError, match=message):
            store.manifest()
    finally:
        path.write_text(whole)
    assert read_manifest(finished) == json.loads(whole)


@pytest.mark.parametrize("kept", [{"x": True}, {"0": True}, {"1": "yes"}, {"-1": False}])
def test_ways_of_other_than_numbers_of_pixels_are_refused(kept: dict[str, object], finished: Path) -> None:
    path = finished / "manifest.json"
    whole = path.read_text()
    manifest = json.loads(whole)
    manifest["passes"]["incremental"] = kept
    path.write_text(json.dumps(manifest))
    try:
        with pytest.raises(InputError, match=rf"passes\.incremental\.{next(iter(kept))}"):
            read_manifest(finished)
    finally:
        path.write_text(whole)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that has ended."""
    folder = tmp_path_factory.mktemp("finished")
    small_run(out=folder, limit=1)
    return folder


def test_a_manifest_that_nests_too_deep_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("[" * 100_000)
    with pytest.raises(InputError, match=r"manifest.json: cannot be read"):
        read_manifest(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="cannot be written"):
        Store(tmp_path / "run")


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        Store(tmp_path / "file")


def test_the_colours_before_are_those_of_the_unchanged_image(out: Path) -> None:
    images = digits("test")
    result = small_run(out=out, limit=4, pixels=3, images=images)
    for row in result.table.to_pylist():
        image = images.image(images.names.index(row["image"]))
        own = image[:, row["rows"], row["columns"]].T.tolist()
        assert row["colours_before"] == own
        assert len(own) == 3


def test_files_without_the_newer_columns_are_read(out: Path) -> None:
    small_run(out=out, limit=2)
    path = out / "outcomes.parquet"
    whole = pq.read_table(path)
    older = whole.drop_columns("colours_before")
    pq.write_table(older, path)
    found = read_outcomes(out)
    assert found.schema.names == SCHEMA.names
    assert found["colours_before"].null_count == len(found) > 0
    assert found.drop_columns("colours_before").equals(older)


@pytest.mark.skipif(sys.platform != "linux", reason="file names are not bytes there")
def test_images_whose_names_are_no_utf8_are_stored_and_another_image_of_their_size_is_noticed(
    out: Path, tmp_path: Path
) -> None:
    """The names are not ASCII nor UTF-8; neither the table nor the pictures may fall over them after the attack."""
    images = digits("test")
    assert images.labels is not None
    (tmp_path / "classes.json").write_text(json.dumps([str(digit) for digit in range(10)]))
    paths = []
    for index in range(6):
        paths.append(tmp_path / "set" / str(images.labels[index]) / f"\udce9{index}.bmp")
        paths[-1].parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(images.image(index)[0]).save(paths[-1])

    def attack() -> RunResult:
        data = load_images(str(tmp_path / "set"), classes=tmp_path / "classes.json")
        return small_run(out=out, images=data, limit=6, pixels=5, baseline="none", save_images=True)

    table = attack().table
    assert {Path(name).name for name in table["image"].to_pylist()} <= {f"\\xe9{index}.bmp" for index in range(6)}
    assert attack().table.equals(table)
    listed = (out / "images" / "metadata.jsonl").read_text().splitlines()
    assert len(listed) == table["status"].to_pylist().count("fooled") > 0
    other = bytearray(paths[0].read_bytes())
    other[-20] ^= 255
    paths[0].write_bytes(other)
    with pytest.raises(InputError, match=r"holds another run .*the images' fingerprint was"):
        attack()


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({"pixels": (1, 3)}, r"--pixels was \[1\] and is \[1, 3\]"),
        ({"budget": 60}, r"--budget was 50 and is 60"),
        ({"stop": "paper"}, r"--stop was 'first-hit' and is 'paper'"),
        ({"parameters": {"label_below": 0.1}}, r"--set label_below of random was 0\.05 and is 0\.1"),
    ],
)
def test_what_another_run_differs_in_is_called_by_its_option(out: Path, other: dict[str, Any], named: str) -> None:
    usual: dict[str, Any] = {"out": out, "attack": "random", "budget": 50, "limit": 1, "labels": "predicted"}
    small_run(**usual)
    with pytest.raises(InputError, match=rf"holds another run \(.*{named}"):
        small_run(**(usual | other))


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("spec.channel_order", "--channel-order"),
        ("attacks.one-pixel.population", "--set population of one-pixel"),
        ("attacks.one-pixel.stop", "--stop of one-pixel"),
        ("target.preprocess", "--normalize"),
        ("target.preprocess.mean", "--normalize (mean)"),
        ("target.outputs", "--outputs"),
        ("target.dtype", "the model's dtype"),
        ("data", "the images' fingerprint"),
    ],
)
def test_fields_of_an_identity_are_called_as_their_user_knows_them(field: str, name: str) -> None:
    assert called(field) == name


def test_the_manifest_says_the_most_images_that_were_asked_for(tmp_path: Path) -> None:
    out = tmp_path / "run"
    for limit, said in ((2, 2), (4, 4), (3, 4)):
        small_run(out=out, limit=limit, attack="random", budget=20, baseline="none")
        manifest = json.loads((out / "manifest.json").read_text())
        assert manifest["given"]["limit"] == said
        assert manifest["given"]["first"] is None
        assert manifest["clean"]["attacked"] == said
