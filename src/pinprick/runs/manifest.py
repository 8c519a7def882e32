"""The manifest: what a run is, complete enough to tell whether another run is the same one."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from pinprick import __version__
from pinprick.data.image_set import ImageSet
from pinprick.errors import InputError
from pinprick.runs.spec import Spec
from pinprick.runs.table import SCHEMA_VERSION
from pinprick.targets.base import Target


def make_manifest(spec: Spec, target: Target, images: ImageSet, rows: int, draws: int = 1) -> dict[str, Any]:
    """The manifest of a new run; what is under ``what`` is the run's identity.

    ``draws``: passes that decide on each image; only where there are several is it part of the identity.
    """
    channels, height, width = images.image(0).shape
    return {
        "schema_version": SCHEMA_VERSION,
        "what": {
            "spec": spec.identity((channels, height, width), draws),
            "attacks": {attack.name: attack.parameters() for attack in spec.attacks()},
            "target": target.identity(),
            "data": images.fingerprint,
        }
        | ({"draws": draws} if draws > 1 else {}),
        "given": spec.model_dump(mode="json"),
        "passes": {"rows": rows, "engine": target.identity().get("engine", "dense")},
        "versions": versions() | target.versions(),
        "machine": machine(),
        "data": {
            "name": images.name,
            "images": len(images),
            "shape": [channels, height, width],
            "classes": None if images.classes is None else list(images.classes),
            "preparation": images.preparation,
        },
        "clean": None,
        "events": [],
    }


def run_id(manifest: dict[str, Any]) -> str:
    """What ties stored outcomes to their run: a digest of its identity and of the rows a pass."""
    text = json.dumps([manifest["what"], manifest["passes"]["rows"]], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


FOREMOST = ("spec.attack", "data", "target.weights", "spec.pixels", "spec.goal", "spec.seed", "spec.budget")
_SAMPLES = {"first": "taken in the set's order (--first)", "permutation": "drawn by the seed (--limit)"}


def check_same(folder: str, stored: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Raise InputError where two manifests are of different runs; return what differs in versions and machine.

    Raises
    ------
    InputError : names the fields that differ, with both values.
    """
    old, new = flat(stored["what"]), flat(now["what"])
    # Runs of before did not say it there.
    old.setdefault("spec.sample", "first" if stored["given"].get("first") else "permutation")
    if old["spec.sample"] != new["spec.sample"]:
        was, now_is = (_SAMPLES.get(str(each["spec.sample"]), "chosen otherwise") for each in (old, new))
        raise InputError(
            f"--out {folder}", f"it holds a run on images {was}, and now they are {now_is}", "Give another folder."
        )
    odd = [name for name in sorted({*old, *new}) if old.get(name) != new.get(name)]
    if old["spec.attack"] != new["spec.attack"]:
        # What its parameters were says no more.
        odd = [name for name in odd if not name.startswith("attacks.")]
    # The four that are told are what a user would look for first.
    odd.sort(key=lambda name: FOREMOST.index(name) if name in FOREMOST else len(FOREMOST))
    if odd:
        listed = "; ".join(f"{called(name)} was {old.get(name)!r} and is {new.get(name)!r}" for name in odd[:4])
        raise InputError(f"--out {folder}", f"it holds another run ({listed})", "Give another folder.")
    old = flat({"versions": stored["versions"], "machine": stored["machine"]})
    new = flat({"versions": now["versions"], "machine": now["machine"]})
    return [f"{name} was {old.get(name)!r} and is {new[name]!r}" for name in new if old.get(name) != new[name]]


def called(name: str) -> str:
    """A field of a run's identity as its user gave it: ``--pixels`` for ``spec.pixels``."""
    part, _, field = name.partition(".")
    if part == "spec":
        return "--" + field.replace("_", "-")
    if part == "attacks":
        attack, _, parameter = field.partition(".")
        if parameter == "stop":
            return f"--stop of {attack}"
        return f"--set {parameter} of {attack}" if parameter else f"attack {attack}"
    if part == "target":
        told = {
            "outputs": "--outputs",
            "device": "--device",
            "precision": "--precision",
            "weights": "the digest of the model's weights",
        }
        if field.startswith("preprocess"):
            return f"--normalize ({field.partition('.')[2]})" if "." in field else "--normalize"
        return told.get(field, f"the model's {field}")
    return {"data": "the images' fingerprint", "draws": "--draws"}.get(part, name)


def flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """A nested dict as ``{"a.b": value}``; lists and tuples compare as lists."""
    if not isinstance(value, dict):
        return {prefix: list(value) if isinstance(value, tuple) else value}
    result: dict[str, Any] = {}
    for name, inner in value.items():
        result |= flat(inner, f"{prefix}.{name}" if prefix else str(name))
    return result


def versions() -> dict[str, str]:
    """Versions that may change a result."""
    return {
        "pinprick": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "pyarrow": pa.__version__,
    }


def machine() -> dict[str, Any]:
    """The machine, without its name."""
    return {
        "system": platform.system(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def processor() -> str:
    """The processor's name where the system tells it, else its architecture."""
    table = Path("/proc/cpuinfo")
    lines = table.read_text(encoding="utf-8").splitlines() if table.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
