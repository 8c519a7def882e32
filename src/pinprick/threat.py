"""Threat models: what an attack knows and what it may do (Papernot et al. 2015, section II; S16)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Knowledge = Literal["labels", "scores", "gradients"]


@dataclass(frozen=True)
class ThreatModel:
    """What an attack needs and changes.

    Parameters
    ----------
    knowledge : what it reads of the target: predicted labels, scores (probabilities or logits), or gradients.
    norm : the size of a perturbation; ``"L0 pixels"`` counts a pixel once over its channels.
    goals : the kinds of goal it can pursue.
    atlas : the technique of MITRE ATLAS that it is an instance of.
    """

    knowledge: Knowledge
    norm: str
    goals: tuple[str, ...]
    atlas: str = ""
