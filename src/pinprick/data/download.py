"""Files fetched once from their publisher and kept in the user's cache, used only if their checksum is right."""

from __future__ import annotations

import re
from pathlib import Path

import pooch

from pinprick.errors import InputError


def fetched(url: str, md5: str, *, cache: Path | None = None, what: str, otherwise: str) -> Path:
    """The path of a downloaded file; downloads it unless the cache has it with the right checksum.

    A download goes to a temporary file, which takes its place only after the checksum was compared, so that a partial
    file is never taken for a whole one, and a damaged file in the cache is fetched anew.

    Parameters
    ----------
    url : http(s) address of the file.
    md5 : hex digest that its bytes must have.
    cache : folder to keep it in, pooch's cache for pinprick by default.
    what, otherwise : for errors: the user's input, and how to do without the download.

    Raises
    ------
    InputError : the server cannot be reached, or what it sent is not that file.
    """
    if not url.startswith(("http://", "https://")):
        raise InputError(what, f"{url!r} is not an http(s) address", "Give an address such as https://host/folder.")
    try:
        path = pooch.retrieve(
            url,
            known_hash=f"md5:{md5}",
            fname=url.rsplit("/", 1)[-1],
            path=cache or pooch.os_cache("pinprick"),
            # Without this, a server may pack a .gz once more, and the bytes on disk are not those of the file.
            downloader=pooch.HTTPDownloader(headers={"Accept-Encoding": "identity"}),
        )
    except OSError as error:  # what requests raises is an OSError, too
        raise InputError(what, f"{url} cannot be downloaded ({_short(error)})", otherwise) from None
    except ValueError as error:  # pooch's word for a wrong checksum; a bad address is one, too
        wrong = "has the wrong checksum and was thrown away" if "hash" in str(error) else f"failed ({_short(error)})"
        raise InputError(what, f"the download of {url} {wrong}", otherwise) from None
    return Path(path)


def checked(path: Path, md5: str, *, what: str, right: str) -> Path:
    """The same path of a file that the user has, if its checksum is right.

    Raises
    ------
    InputError : it cannot be read, or is another file.
    """
    try:
        actual = pooch.file_hash(str(path), alg="md5")
    except OSError as error:
        raise InputError(what, f"{str(path)!r} cannot be read ({error.strerror})", right) from None
    if actual != md5:
        raise InputError(what, f"{str(path)!r} has the md5 checksum {actual} where {md5} is right", right)
    return path


def _short(error: BaseException) -> str:
    """What an error says; of one that wraps others, as those of requests do, what the innermost says."""
    inner: object = error
    while isinstance(inner, BaseException):
        error, inner = inner, getattr(inner, "reason", inner.args[0] if inner.args else None)
    # Urllib3 adds itself to the text, as (text, error), and begins with where it came from.
    said = inner if len(error.args) > 1 and isinstance(inner, str) else error
    text = re.sub(r"^HTTPS?Connection(Pool)?\(.*?\): ", "", " ".join(str(said).split())) or type(error).__name__
    return text if len(text) <= 200 else text[:200] + " …"
