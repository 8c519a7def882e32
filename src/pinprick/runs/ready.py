"""Making a run's target ready: loading it, settling what it puts out, choosing its fastest way."""

from __future__ import annotations

from dataclasses import replace

from pinprick.data.image_set import ImageSet
from pinprick.data.sets import load_images
from pinprick.data.transform import prepared
from pinprick.errors import InputError
from pinprick.runs.clean import check_shape
from pinprick.runs.result import Listener
from pinprick.runs.spec import Spec
from pinprick.runs.store import read_manifest
from pinprick.targets.base import Precision, Target
from pinprick.targets.class_names import matched
from pinprick.targets.loading import load_target
from pinprick.targets.outputs import SAMPLE, settle, with_noise
from pinprick.targets.passes import is_large


def load_spec_target(spec: Spec) -> Target:
    """The target that a spec names."""
    return load_target(
        spec.model,
        outputs=spec.outputs,
        device=spec.device,
        normalize=spec.normalize,
        order=spec.channel_order if "channel_order" in spec.model_fields_set else None,
        trust_pickle=spec.trust_pickle,
        layout=spec.layout,
        calls=spec.calls(),
    )


def settled_images(spec: Spec, target: Target, images: ImageSet | None, listener: Listener) -> ImageSet:
    """The images of a run, those that the spec names unless they are given, labelled in the order of the target.

    Those that the spec names are brought to the size that the target states, unless the spec says another.

    Raises
    ------
    InputError : no such set; a class of the set that the target does not have, and it has no other order.
    """
    own = target.preparation
    if images is None:
        images = load_images(spec.data, classes=spec.classes, resize=spec.resize, crop=spec.crop)
        if own is not None and spec.resize is None and spec.crop is None:
            images = replace(prepared(images, own), preparation=own.as_dict())
            listener.say(f"note: images are {own}, as {target.name} has it; --resize or --crop say otherwise")
    channels = images.image(0).shape[0]
    if target.channels not in (None, channels):
        given, taken = ({1: "gray", 3: "RGB"}.get(number or 0, "other") for number in (channels, target.channels))
        wrong = f"{given} images, and {target.name} takes {taken} ones"
        raise InputError(f"--data {images.name}", wrong, "Give images of that kind.")
    if target.class_names is None or spec.classes is not None:
        return images
    images, told = matched(images, target.class_names, target.name, strict=target.strict_names)
    if told is not None:
        listener.say(told)
    return images


def told_for(spec: Spec, target: Target, listener: Listener) -> Spec:
    """A spec without what it would have by default, but for remote targets has not: random search beside.

    Raises
    ------
    InputError : something that is for remote targets alone.
    """
    if target.local and spec.answer_cache is not None:
        raise InputError("--answer-cache", f"the model {target.name!r} is not remote", "Leave it out.")
    if target.local or spec.baseline is not None or spec.beside == "none":
        return spec
    listener.say("note: no random search beside, as questions to a remote model may cost; --baseline random adds it")
    return spec.model_copy(update={"baseline": "none"})


def as_begun(spec: Spec, target: Target) -> None:
    """Let the target compute as it did when the run in the spec's folder was begun, if there is one.

    Raises
    ------
    InputError : the folder's manifest cannot be read.
    """
    # Outcomes without a manifest are refused where the folder is opened, by what the user gave.
    out = spec.out
    stored = read_manifest(out) if out is not None and (out / "manifest.json").exists() else None
    target.keep_to(None if stored is None else str(stored["passes"].get("engine", "")))


def ready(
    target: Target,
    images: ImageSet,
    indices: list[int],
    listener: Listener,
    precision: Precision = "fp32",
    *,
    predicted: bool = False,
) -> None:
    """Settle what the target puts out and let it choose its fastest way, on the images at ``indices``.

    ``predicted``: the set's own labels are not used.

    Raises
    ------
    InputError : images and target do not suit each other, or the target cannot score candidates in ``precision``.
    """
    target.search_in(precision)
    sample = images.stack(indices)
    if is_large(sample.shape[1:]):
        sample = sample[:SAMPLE]
    check_shape(target, images, sample.shape[1:])
    if getattr(target, "was_training", False):
        listener.say(f"note: {target.name} is put into evaluation mode")
    told = target.notes
    for note in told:
        listener.say(note)
    decided = settle(target, sample)
    if decided is not None:
        listener.say(decided)
    if target.outputs == "labels" and target.classes is None:
        # Only a guess where the set may lack some of them.
        target.assume_classes(class_count(images))
    known = target.classes
    if known is not None and images.classes is not None and len(images.classes) > known and not predicted:
        raise InputError(
            f"--data {images.name}",
            f"the set has {len(images.classes)} classes and the model {known}",
            "Check --classes, and that the set belongs to the model.",
        )
    target.prepare(target.images(with_noise(sample, SAMPLE)))
    for note in target.notes[len(told) :]:
        listener.say(note)


def class_count(images: ImageSet) -> int:
    """How many classes a set has, for a target that returns labels and so does not show how many it knows.

    Raises
    ------
    InputError : the set has neither class names nor labels.
    """
    if images.classes is not None:
        return len(images.classes)
    if images.labels is None:
        raise InputError(
            f"--data {images.name}",
            "the model returns labels, and the set tells neither classes nor labels",
            "Give --classes, or a set with labels.",
        )
    return max(2, int(images.labels.max()) + 1)
