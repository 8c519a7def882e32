"""Remote targets by what a user writes after --model: an address, or a TOML file that describes an endpoint."""

from __future__ import annotations

import re
from dataclasses import replace
from urllib.parse import unquote, urlsplit

from pinprick.errors import InputError
from pinprick.targets.base import Outputs, Target
from pinprick.targets.loading import Options
from pinprick.targets.remote.codec import Layout
from pinprick.targets.remote.oip import Wanted, make_codec, model_url, read_model
from pinprick.targets.remote.secret import Secret
from pinprick.targets.remote.target import HttpTarget
from pinprick.targets.remote.wire import Wire

LAYOUTS: dict[str, Layout] = {"nchw": "NCHW", "nhwc": "NHWC"}
SECRET = re.compile(
    r"(.*[-_. ])?(api|access|auth|client|private|security|subscription)?"
    r"(key|token|secret|password|passwd|pwd|auth|authentication|authorization|sig|signature|code|credentials?|bearer)"
)
"""What names of headers and of what is behind ``?`` in an address look like where a secret is under them."""


def load(model: str, options: Options) -> Target:
    """The target at an address, ``http://host:port/v2/models/NAME``, or that a TOML file describes.

    Raises
    ------
    InputError : no such address or file, a server that cannot be reached, a model that takes no images, options that
        are for models in this process.
    """
    what = f"--model {model}"
    if options.trust_pickle:
        raise InputError("--trust-pickle", "the model is remote, and no file of it is loaded", "Leave it out.")
    if options.device != "auto":
        raise InputError("--device", "the model is remote", "Leave it out: its server has chosen.")
    scheme, colon, rest = model.partition("://")
    if colon and not scheme.lower().endswith(".toml"):
        model = f"{scheme.strip().lower()}://{rest}"
        check_url(model, "--model")
        what = f"--model {model}"
        url = model_url(model, what)
        return load_v2(url, what, options, Wire(what, options.calls, Secret(options.calls.auth_env)), Wanted())
    from pinprick.targets.remote.described import load_described

    described: Target = load_described(model, options)
    return described


def load_v2(
    url: str,
    what: str,
    options: Options,
    wire: Wire,
    wanted: Wanted,
    *,
    outputs: Outputs = "auto",
    classes: int | None = None,
    deterministic: bool = True,
) -> HttpTarget:
    """A target of the Open Inference Protocol; what is not said is taken from the model's metadata.

    Raises
    ------
    InputError : the server cannot be reached, or the model takes no images.
    """
    model = read_model(wire, url, what)
    wanted = replace(wanted, normalize=options.normalize, order=options.order)
    if options.layout != "auto":
        wanted = replace(wanted, layout=LAYOUTS[options.layout])
    codec, shape, told = make_codec(model, wanted, what)
    outputs = options.outputs if options.outputs != "auto" else outputs
    name = url.rpartition("/v2/models/")[2]
    known = classes or (None if outputs == "labels" else told)
    identity = {"url": url, "platform": model.platform, "headers": dict(sorted(wire.headers.items()))}
    return HttpTarget(name, outputs, codec, wire, identity, classes=known, shape=shape, deterministic=deterministic)


def check_url(url: str, what: str) -> None:
    """Raise InputError where this is no address, or one with a secret in it; the secret is not shown."""
    right = "Write http://host:port/…; secrets go into an environment variable (--auth-env)."
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise InputError(what, "no address", right) from None
    if "@" in parts.netloc:
        raise InputError(what, f"the address of {host} has a user or password in it", right)
    names = [unquote(part.partition("=")[0]) for part in re.split("[&;]", parts.query)]
    if found := next((name for name in names if SECRET.fullmatch(name.lower())), None):
        raise InputError(what, f"the address of {host} has {found!r} in it, which looks like a secret", right)
    if parts.fragment:
        raise InputError(what, f"the address of {host} has a part behind '#', which is not sent", right)
    if parts.scheme not in ("http", "https") or not host or not url.isprintable() or " " in url:
        raise InputError(what, f"{url!r:.80} is no address", right)
