"""Which split and configuration a Parquet file of a Hugging Face data set belongs to, told by its name."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pinprick.data.image_set import ImageSet
from pinprick.data.parquet import parquet_files
from pinprick.errors import InputError, UnknownNameError

# train-00000-of-00002.parquet; older uploads add a hash: train-00000-of-00002-0123456789abcdef.parquet
_NUMBERED = re.compile(r"(?P<split>.+?)-(?P<part>\d{4,})-of-(?P<parts>\d{4,})(-[0-9a-f]+)?")
_KNOWN = re.compile(r"(?P<split>train|test|validation|valid|val|dev)([-_. ].*)?")
# The branch refs/convert/parquet has configuration/split/0000.parquet.
_BARE_NUMBER = re.compile(r"\d{4,}")


@dataclass(frozen=True)
class Shard:
    """One Parquet file of a data set: its name in it, and what the name says ("" where it says nothing)."""

    name: str
    config: str
    split: str


def shard(name: str) -> Shard:
    """Read a file's name, relative to the data set, with ``/``."""
    path = PurePosixPath(name)
    folders = list(path.parts[:-1])
    split = ""
    if match := _NUMBERED.fullmatch(path.stem) or _KNOWN.fullmatch(path.stem):
        split = match["split"]
    elif folders and _BARE_NUMBER.fullmatch(path.stem):
        split = folders.pop()
    return Shard(name, "/".join(folder for folder in folders if folder != "data"), split)


def pick_shards(names: Iterable[str], split: str, config: str, what: str) -> list[str]:
    """The files of one split of one configuration, sorted; ``""`` means the only one there is.

    Raises
    ------
    InputError : there is no such split or configuration, several and none was chosen, or a part of a split is missing.
    """
    shards = [shard(name) for name in sorted(names)]
    configs = sorted({one.config for one in shards})
    if config and config not in configs:
        raise UnknownNameError(f"{what}, configuration", config, [one for one in configs if one])
    if config:
        shards = [one for one in shards if one.config == config]
    splits = sorted({one.split for one in shards})
    if split:
        if split not in splits:
            raise UnknownNameError(f"{what}, split", split, [one or "(files of no split)" for one in splits])
        shards = [one for one in shards if one.split == split]
    elif len(splits) > 1:
        shown = ", ".join(one or "files of no split" for one in splits)
        raise InputError(what, f"several splits ({shown}) and none was chosen", f"Choose one: …:{max(splits)}.")
    configs = sorted({one.config for one in shards})
    if len(configs) > 1:
        named = [one for one in configs if one]
        raise InputError(what, f"several configurations: {', '.join(named)}", f"Choose one of them: …/{named[0]}.")
    chosen = [one.name for one in shards]
    folders = sorted({str(PurePosixPath(one).parent) for one in chosen})
    if len(folders) > 1:
        raise InputError(
            what, f"files of the same split in several folders ({', '.join(folders)})", "Give one of these folders."
        )
    _check_whole(chosen, what)
    return chosen


def _check_whole(names: Iterable[str], what: str) -> None:
    """A set with a part left out would be another set under the same name."""
    seen: dict[tuple[str, int], set[int]] = {}
    for name in names:
        if match := _NUMBERED.fullmatch(PurePosixPath(name).stem):
            seen.setdefault((match["split"], int(match["parts"])), set()).add(int(match["part"]))
    for (split, parts), there in seen.items():
        if len(there) < parts:
            missing = next(part for part in itertools.count() if part not in there)
            raise InputError(
                what,
                f"{parts - len(there)} of the {parts} parts of split {split!r} missing (the first: part {missing:05d})",
                "Copy the whole split, or give single files by their own path.",
            )


def parquet_in(folder: Path) -> list[str]:
    """Names of the Parquet files directly in a folder and in its sub-folder ``data``, with ``/``."""
    found = [*folder.glob("*.parquet"), *folder.glob("data/*.parquet")]
    names = (path.relative_to(folder).as_posix() for path in found if path.is_file())
    return sorted(name for name in names if not PurePosixPath(name).name.startswith("."))


def parquet_folder(folder: Path, split: str = "", *, name: str | None = None) -> ImageSet:
    """A folder of Parquet files (``train-00000-of-00002.parquet`` …), directly in it or in ``data/``.

    Parameters
    ----------
    folder : where the files are.
    split : the split's name, the beginning of the files' names; ``""`` where there is only one.
    name : what the user called the set.

    Raises
    ------
    InputError : no Parquet file, no such split, several splits and none chosen, or a file that cannot be read.
    """
    what = f"image set {name or str(folder)!r}"
    names = parquet_in(folder)
    if not names:
        raise InputError(what, "no Parquet file in the folder", "Give a folder with files such as test.parquet.")
    chosen = pick_shards(names, split, "", what)
    return parquet_files([folder / one for one in chosen], name=name or str(folder))
