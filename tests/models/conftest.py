"""Small data and one thread: these tests share their processor with others."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from pinprick.data.digits import digits
from pinprick.models.settings import LabelledImages


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _digits(split: str) -> LabelledImages:
    images = digits(split)
    assert images.labels is not None
    return LabelledImages(images.stack(), images.labels, images.name, images.fingerprint, images.classes)


@pytest.fixture(scope="session")
def digits_train() -> LabelledImages:
    return _digits("train")


@pytest.fixture(scope="session")
def digits_test() -> LabelledImages:
    return _digits("test")
