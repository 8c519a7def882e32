"""All cases of bad input, in the order of docs/errors.md."""

from __future__ import annotations

from tests.bad_input import cases_images, cases_kinds, cases_models, cases_onnx, cases_remote, cases_runs
from tests.bad_input.case import Section

SECTIONS: tuple[Section, ...] = (
    *cases_images.SECTIONS,
    *cases_models.SECTIONS,
    *cases_kinds.SECTIONS,
    *cases_onnx.SECTIONS,
    *cases_remote.SECTIONS,
    *cases_runs.SECTIONS,
)
