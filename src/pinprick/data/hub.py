"""Image sets from the Hugging Face Hub: the Parquet files of a data set repository (extra ``pinprick[hf]``)."""

from __future__ import annotations

import re
from pathlib import Path

from pinprick.data.image_set import ImageSet
from pinprick.data.parquet import parquet_files
from pinprick.data.shards import pick_shards
from pinprick.errors import InputError

_SOURCE = re.compile(r"hf:(?P<repository>[\w.-]+/[\w.-]+)(?:/(?P<config>[\w.+-]+))?(?::(?P<split>[\w.+-]+))?", re.ASCII)
_CONVERTED = "refs/convert/parquet"
_FORM = "Write hf:owner/name, hf:owner/name:split or hf:owner/name/configuration:split."


def hub(source: str, *, endpoint: str | None = None, cache: Path | None = None) -> ImageSet:
    """An image set from the Hub, kept in huggingface_hub's cache.

    The Parquet files of the repository's main branch are read; where it has none, those of the branch
    ``refs/convert/parquet``, which the Hub makes of other formats. No code of the repository is run.

    Parameters
    ----------
    source : ``hf:owner/name``, with ``/configuration`` and ``:split`` where the repository has several.
    endpoint : address of the Hub; the environment variable ``HF_ENDPOINT`` by default.
    cache : folder for the files, huggingface_hub's own by default.

    Raises
    ------
    InputError : huggingface_hub is not installed, the Hub cannot be reached, there is no such repository, it has no
        Parquet files, no such split, several and none chosen, or a file that cannot be read.
    """
    what = f"image set {source!r}"
    match = _SOURCE.fullmatch(source)
    if match is None:
        raise InputError(what, "not a data set on the Hub", _FORM)
    try:
        from huggingface_hub import HfApi, hf_hub_download

        # Not from huggingface_hub.errors, where 0.24 does not have them yet.
        from huggingface_hub.utils import (  # type: ignore[attr-defined]
            GatedRepoError,
            RepositoryNotFoundError,
            RevisionNotFoundError,
        )
    except ImportError:
        raise InputError(
            what, "needs huggingface_hub, which is not installed", "Run: pip install 'pinprick[hf]'."
        ) from None
    repository = match["repository"]
    api = HfApi(endpoint=endpoint)

    def parquet_names(revision: str | None) -> list[str]:
        names = api.list_repo_files(repository, repo_type="dataset", revision=revision)
        return [name for name in names if name.endswith(".parquet")]

    try:
        revision = None
        names = parquet_names(None)
        if not names:
            revision = _CONVERTED
            try:
                names = parquet_names(revision)
            except RevisionNotFoundError:
                names = []
        if not names:
            raise InputError(
                what, f"no Parquet files, neither on the main branch nor on {_CONVERTED}", "Give a set that has some."
            )
        chosen = pick_shards(names, match["split"] or "", match["config"] or "", what)
        paths = [
            Path(
                hf_hub_download(
                    repository, name, repo_type="dataset", revision=revision, endpoint=endpoint, cache_dir=cache
                )
            )
            for name in chosen
        ]
    except InputError:
        raise
    except GatedRepoError:
        raise InputError(
            what, "the repository asks for its terms to be accepted", "Accept them on its page, then: hf auth login."
        ) from None
    except RepositoryNotFoundError:
        raise InputError(
            what,
            f"there is no data set {repository!r} on the Hub, or it is private",
            f"{_FORM} For a private one: hf auth login.",
        ) from None
    except Exception as error:
        # What else comes depends on the version: requests' errors in old ones, httpx's in new ones, which are not even
        # OSError, and huggingface_hub's own.
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(
            what, f"cannot be fetched from the Hub ({reason})", "Check the connection and the name, or give a folder."
        ) from None
    return parquet_files(paths, name=source)
