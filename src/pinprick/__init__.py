"""How little of an image has to change before a classifier is wrong: from one pixel up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from pinprick.api import attack, check_target, image_set
    from pinprick.data.image_set import ImageSet
    from pinprick.data.sets import load_images
    from pinprick.edits import Edits
    from pinprick.errors import InputError, PinprickError
    from pinprick.goals import Goal
    from pinprick.report.page import write_report
    from pinprick.runs.measures import Measures, data_frame, measures
    from pinprick.runs.result import RunResult
    from pinprick.runs.run import run
    from pinprick.runs.spec import Spec
    from pinprick.runs.store import read_outcomes
    from pinprick.runs.target_report import TargetReport
    from pinprick.targets.base import Target
    from pinprick.targets.callable_target import CallableTarget
    from pinprick.targets.calls import Calls
    from pinprick.targets.loading import load_target
    from pinprick.targets.sklearn_target import SklearnTarget
    from pinprick.targets.torch_target import TorchTarget

_HOMES = {
    "attack": "pinprick.api",
    "check_target": "pinprick.api",
    "image_set": "pinprick.api",
    "ImageSet": "pinprick.data.image_set",
    "load_images": "pinprick.data.sets",
    "Edits": "pinprick.edits",
    "InputError": "pinprick.errors",
    "PinprickError": "pinprick.errors",
    "Goal": "pinprick.goals",
    "Measures": "pinprick.runs.measures",
    "data_frame": "pinprick.runs.measures",
    "measures": "pinprick.runs.measures",
    "RunResult": "pinprick.runs.result",
    "run": "pinprick.runs.run",
    "write_report": "pinprick.report.page",
    "Spec": "pinprick.runs.spec",
    "read_outcomes": "pinprick.runs.store",
    "Target": "pinprick.targets.base",
    "TargetReport": "pinprick.runs.target_report",
    "CallableTarget": "pinprick.targets.callable_target",
    "Calls": "pinprick.targets.calls",
    "load_target": "pinprick.targets.loading",
    "SklearnTarget": "pinprick.targets.sklearn_target",
    "TorchTarget": "pinprick.targets.torch_target",
}

__all__ = [
    "CallableTarget",
    "Calls",
    "Edits",
    "Goal",
    "ImageSet",
    "InputError",
    "Measures",
    "PinprickError",
    "RunResult",
    "SklearnTarget",
    "Spec",
    "Target",
    "TargetReport",
    "TorchTarget",
    "__version__",
    "attack",
    "check_target",
    "data_frame",
    "image_set",
    "load_images",
    "load_target",
    "measures",
    "read_outcomes",
    "run",
    "write_report",
]


def __getattr__(name: str) -> Any:
    # Names are imported when they are used, so that `pinprick --help` need not wait for torch.
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'pinprick' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
