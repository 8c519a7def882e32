"""SqueezeNet with its published weights: the one network here whose accuracy others have measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pinprick.data.parquet import parquet
from pinprick.errors import InputError
from pinprick.models.settings import LabelledImages
from pinprick.models.training import accuracy
from pinprick.models.weights import load_net, read_card

SHARED = Path(__file__).resolve().parents[3] / "shared"
WEIGHTS = SHARED / "models" / "squeezenet-imagenet.safetensors"
IMAGES = SHARED / "data" / "imagenet-sample.parquet"

pytestmark = pytest.mark.skipif(
    not (WEIGHTS.exists() and IMAGES.exists()),
    reason="needs ../shared/models/squeezenet-imagenet.safetensors and ../shared/data/imagenet-sample.parquet",
)


def centre_crops(count: int) -> LabelledImages:
    """227 x 227 of the middle of 256 x 256, 14 pixels from the top and left."""
    images = parquet(IMAGES)
    assert images.labels is not None
    stack = images.stack(np.arange(count))[:, :, 14:241, 14:241]
    return LabelledImages(stack, images.labels[:count], images.name, images.fingerprint)


def test_card_of_a_file_without_one_is_the_usual_caffe_preprocessing() -> None:
    card = read_card(WEIGHTS, "squeezenet")
    assert (card.classes, card.shape, card.order) == (1000, (3, 227, 227), "bgr")
    # Caffe subtracts (104, 117, 123) from B, G, R in 0 .. 255.
    np.testing.assert_allclose(np.array(card.mean) * 255, (123, 117, 104))
    np.testing.assert_allclose(np.array(card.std) * 255, 1)
    with pytest.raises(InputError, match="does not state its classes, image shape and preprocessing"):
        read_card(WEIGHTS)
    with pytest.raises(InputError, match="does not state its classes"):
        load_net(WEIGHTS, "lenet")


def test_twenty_images() -> None:
    net, card = load_net(WEIGHTS, "squeezenet")
    # Measured: 12 of the first 20; one image either way for another processor's rounding.
    assert abs(accuracy(net, card, centre_crops(20), batch=20) - 12) <= 1


@pytest.mark.slow
def test_top_1_on_the_imagenet_sample_is_65_5_percent() -> None:
    net, card = load_net(WEIGHTS, "squeezenet")
    assert abs(accuracy(net, card, centre_crops(200), batch=20) - 131) <= 1
