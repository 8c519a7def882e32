"""What a run says of the unchanged images once they are scored."""

from __future__ import annotations

from pinprick.runs.clean import CleanPass
from pinprick.runs.result import Listener
from pinprick.runs.spec import Spec
from pinprick.targets.base import Target

MOSTLY_RIGHT = 0.6
"""Clean accuracy under this is warned of where twice chance is more."""
HALF_RIGHT = 0.5
"""Clean accuracy under this is worth a look, which is said where :data:`FEW` images or more were scored."""
FEW = 10


def tell_clean(spec: Spec, target: Target, clean: CleanPass, listener: Listener) -> None:
    """Warnings about the unchanged images."""
    say, wanted, right = listener.say, spec.limit or spec.first, len(clean.right)
    # Of the default number nobody has asked for so many.
    if wanted is not None and right < wanted:
        say(
            f"only {right} of {clean.images} image{'' if clean.images == 1 else 's'} "
            f"{'is' if clean.images == 1 or right == 1 else 'are'} classified right; {wanted} were asked for"
        )
    if clean.failed:
        images, count = ("image", "counts") if clean.failed == 1 else ("images", "count")
        say(f"{clean.failed} unchanged {images} got no scores and {count} as wrong ({clean.first_reason})")
    classes = target.classes or target.at_least
    # Twice chance, but of two or three classes that would be all or most.
    low = min(2 / classes, MOSTLY_RIGHT)
    if clean.accuracy is None or spec.labels != "given":
        return
    causes = target.suspects
    if clean.accuracy < low:
        under = "twice chance" if low < MOSTLY_RIGHT else f"{low:.0%}"
        say(
            f"warning: clean accuracy is {clean.accuracy:.1%}, under {under} for {classes} classes. Usual "
            f"causes: {causes}"
        )
    elif clean.accuracy < HALF_RIGHT and clean.images >= FEW:
        say(f"clean accuracy is low, {clean.accuracy:.1%}. If you expected more, the usual causes are {causes}")
