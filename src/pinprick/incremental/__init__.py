"""Exact evaluation of a network after a few pixels changed: only what these pixels reach is computed again."""

from pinprick.edits import Edits
from pinprick.incremental.check import Check, check
from pinprick.incremental.engine import Incremental
from pinprick.incremental.plan import Plan

__all__ = ["Check", "Edits", "Incremental", "Plan", "check"]
