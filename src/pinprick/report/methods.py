"""A methods paragraph that is ready to paste, what to cite, and the limits of what was found."""

from __future__ import annotations

from typing import Any

from pinprick.metrics.minimum import ATTACKS as SHRINKING
from pinprick.report.words import (
    SPACE,
    budget_text,
    count,
    listed,
    normalisation,
    own_labels,
    percent,
    plural,
    source_name,
)
from pinprick.runs.measures import Measures
from pinprick.runs.summary import DERIVED

PAPER = """\
@article{su2019onepixel,
  title   = {One Pixel Attack for Fooling Deep Neural Networks},
  author  = {Su, Jiawei and Vargas, Danilo Vasconcellos and Sakurai, Kouichi},
  journal = {IEEE Transactions on Evolutionary Computation},
  volume  = {23},
  number  = {5},
  pages   = {828--841},
  year    = {2019},
  doi     = {10.1109/TEVC.2019.2890858},
  note    = {arXiv:1710.08864}
}"""

LIMITS = (
    "“Held” means not found within the budget. It is no proof that no such change of pixels exists.",
    "Rates are of the images that were attacked: a sample of those that the classifier gets right. The intervals tell "
    "what that sample leaves open, and nothing about other data.",
    "A changed pixel may take any colour and be plain to see. What is measured is how few pixels are enough, not how "
    "small the change looks.",
    "The figures belong to this attack, this budget and these weights. Another attack may do better.",
)


_BOUNDS = {"reflect": "reflected at its edge", "clip": "clipped", "resample": "drawn again"}


def software_entry(version: str) -> str:
    """The BibTeX entry of pinprick at ``version``."""
    return f"""\
@software{{pinprick,
  title   = {{pinprick: how little of an image has to change before a classifier is wrong}},
  author  = {{{{The pinprick developers}}}},
  version = {{{version}}}
}}"""


def methods(run: Measures) -> str:
    """How the run was made, in plain sentences, for a paper's methods section."""
    return " ".join([*_subject(run), *_attack(run), *_judged(run), *_made(run)])


def _subject(run: Measures) -> list[str]:
    what = run.manifest["what"]
    target, spec = what["target"], what["spec"]
    weights = f" (weights with BLAKE2b digest {target['weights']})" if target.get("weights") else ""
    puts_out = {"labels": "labels only", "logits": "logits", "probabilities": "probabilities"}
    size = ""
    if run.shape is not None:
        channels, height, width = run.shape
        size = f", {height} × {width} pixels, {'RGB' if channels == 3 else 'gray'}, 8 bits a channel"
    changed = [f"{name} to {spec[key]}" for key, name in (("resize", "resized"), ("crop", "cropped")) if spec.get(key)]
    size += f", {' and '.join(changed)}" if changed else ""
    sentences = [
        f"The classifier is {source_name(run.model)}{weights}; the attack sees its "
        f"{puts_out.get(target.get('outputs', ''), 'outputs')}.",
        f"The images are from {source_name(run.data)} (fingerprint {what['data']}{size}).",
    ]
    if (normalised := normalisation(run)) is not None:
        sentences.append(f"Pixel values from 0 to 1 are normalised in front of the classifier ({normalised}).")
    if run.images is None or run.attacked is None:
        return sentences
    if own_labels(run):
        sentences.append(
            f"{plural(run.attacked, 'image')} {_was(run.attacked)} attacked, the classifier's own predictions on "
            "the unchanged images taken for right."
        )
    else:
        accuracy = "" if run.clean_accuracy is None else f" (clean accuracy {percent(run.clean_accuracy)})"
        sentences.append(
            f"Of {plural(run.images, 'image')}, taken {_order(run)}, {count(run.attacked)} {_was(run.attacked)} "
            f"classified right{accuracy} and attacked."
        )
    return sentences


def _order(run: Measures) -> str:
    given = run.manifest.get("given") or {}
    return "in the order of the set" if given.get("first") else f"in a permutation drawn with seed {run.seed}"


def _attack(run: Measures) -> list[str]:
    attacks: dict[str, dict[str, Any]] = run.manifest["what"]["attacks"]
    main, *others = attacks_in_order(run)
    numbers = listed([str(pixels) for pixels in run.manifest["what"]["spec"]["pixels"]]).replace(" and ", " or ")
    sentences = [
        f"{_described(main, attacks[main])} It could change up to {numbers} "
        f"pixel{'' if numbers == '1' else 's'} of an image{_goal(run)}, with at most {budget_text(run)} "
        "(scored candidate images) for each image"
        f"{'' if run.goal == 'untargeted' else ' and target class'}, the verifying one included"
        f", and {_stopped(run, attacks[main])}."
    ]
    if "random" in others:
        sentences.append(
            "As a baseline, random search drew positions and colours independently, with the same budget and the same "
            "rules."
        )
    return sentences


def _stopped(run: Measures, parameters: dict[str, Any]) -> str:
    """When a unit's search ends."""
    if attacks_in_order(run)[0] in SHRINKING:
        end = "more questions promised little" if parameters.get("give_up") else "the budget was spent"
        return f"went on after a success, to fewer pixels, until {end}"
    if parameters.get("complete"):
        return "asked them all whether or not one had succeeded"
    return f"stopped {'at the first success' if run.stop == 'first-hit' else 'by the rule of the paper'}"


def attacks_in_order(run: Measures) -> list[str]:
    """The attack, then the baseline where there is one."""
    return list(dict.fromkeys(row.row.attack for row in run.rows))


_TOLD = {
    "min-pixels": "The attack is min-pixels: it searches with one pixel, then with more and more, led by Gaussian "
    "processes over positions and colours, until a set of pixels succeeds; then it leaves out pixels that are not "
    "needed and searches with one fewer. The smallest set that it finds counts.",
    "hard-label": "The attack is hard-label, which reads labels alone: random sets of pixels grow until one succeeds, "
    "or it starts from an image of the target class; it leaves out what is not needed, and then guesses sets of one "
    "pixel fewer by what stood in for others before. The smallest set that it finds counts.",
    "random": "The attack is random search: positions and colours drawn independently, the first hit kept.",
}
"""Attacks that are described without their parameters."""


def _described(name: str, parameters: dict[str, Any]) -> str:
    if name == "one-pixel":
        return (
            "The attack is the one pixel attack (Su, Vargas and Sakurai, 2019): differential evolution with "
            f"{parameters['population']} candidates, at most {parameters['generations']} generations, "
            f"F = {parameters['weight']} and no crossover, each child against its own parent; positions outside of the "
            f"image are {_BOUNDS[parameters['position_bounds']]}, colours outside of 0 to 255 "
            f"{_BOUNDS[parameters['colour_bounds']]}."
        )
    if name == "sweep":
        colours = "all 256 values" if parameters["colours"] == "all" else "the corners of the colour cube"
        return (
            f"The attack is a sweep: every position of the image, as far as the budget goes, in {colours}, one pixel "
            "at a time, the places of the least margins first; further pixels are added greedily, by a sweep each."
        )
    if name in _TOLD:
        return _TOLD[name]
    if name == "sparse-evo":
        return (
            "The attack is SparseEvo (Vo, Abbasnejad and Ranasinghe, 2022), which reads labels alone: from an image "
            "that succeeds, noise or one of the target class, it takes back more and more pixels by a population of "
            f"{parameters['population']} masks. The smallest set of pixels that it finds counts."
        )
    settings = ", ".join(f"{key} = {value}" for key, value in sorted(parameters.items()))
    return f"The attack is {name} ({settings})."


def _goal(run: Measures) -> str:
    if run.goal == "untargeted":
        return " so that it is given any wrong class"
    which = {
        "all": "each other class in turn",
        "random": "one wrong class drawn at random",
        "least-likely": "the class that the classifier finds least likely",
    }
    text = f" so that it is given a target class ({which[run.targets]})"
    return text + (", and an image counts as fooled when any of its targets is reached" if run.goal == DERIVED else "")


def _judged(run: Measures) -> list[str]:
    bootstrap = any(row.budget.method == "bootstrap" for row in run.rows if row.budget.n)
    interval = (
        "come from a bootstrap over images (2 000 resamples)" if bootstrap else "are Wilson score intervals"
    ).replace("2 000", f"2{SPACE}000")
    draws = run.manifest["what"].get("draws", 1)
    again, often = "in a pass of its own", "must come first"
    if draws > 1:
        again = f"in {count(draws)} passes of their own, as it is random"
        often += " in more than half of them"
    return [
        f"A success is decided on the 8-bit image as it is saved: the classifier scores it again {again}, "
        f"and {'the target' if run.goal != 'untargeted' else 'a class other than the label'} {often}.",
        f"Rates are over all that was attacked, failed units among them; their 95{SPACE}% intervals {interval}.",
    ]


def _made(run: Measures) -> list[str]:
    versions = run.manifest.get("versions") or {}
    names = {"python": "Python", "torch": "PyTorch", "numpy": "NumPy"}
    used = [f"{names[name]} {versions[name]}" for name in names if name in versions]
    device = run.manifest["what"]["target"].get("device")
    where = f", on {'the CPU' if device == 'cpu' else device}" if device else ""
    made_with = f"pinprick {versions.get('pinprick', '(version unknown)')}" + (f" with {listed(used)}" if used else "")
    return [f"The run was made with {made_with}{where}; its seed is {run.seed}."]


def _was(value: int) -> str:
    return "was" if value == 1 else "were"
