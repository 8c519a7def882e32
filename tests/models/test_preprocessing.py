"""Normalisation and channel order."""

from __future__ import annotations

import pytest
import torch

from pinprick.errors import InputError, UnknownNameError
from pinprick.models.preprocessing import NORMALISATIONS, Preprocess, parse_normalisation


def test_each_channel_has_its_mean_and_deviation_and_bgr_turns_channels_round_afterwards() -> None:
    images = torch.rand(2, 3, 4, 5)
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.25, 2.0)
    expected = torch.stack([(images[:, c] - mean[c]) / std[c] for c in range(3)], dim=1)
    torch.testing.assert_close(Preprocess(mean, std)(images), expected)
    torch.testing.assert_close(Preprocess(mean, std, "bgr")(images), expected[:, [2, 1, 0]])


def test_one_value_serves_all_channels_and_the_module_has_no_weights_of_its_own() -> None:
    preprocess = Preprocess((0.5,), (0.5,))
    torch.testing.assert_close(preprocess(torch.ones(1, 3, 2, 2)), torch.ones(1, 3, 2, 2))
    assert not preprocess.state_dict()
    assert not list(preprocess.parameters())


@pytest.mark.parametrize("name", NORMALISATIONS)
def test_named_normalisations(name: str) -> None:
    assert parse_normalisation(name) == NORMALISATIONS[name]


def test_numbers() -> None:
    assert parse_normalisation("0.5,0.4,0.3/0.1,0.2,0.3") == ((0.5, 0.4, 0.3), (0.1, 0.2, 0.3))
    assert parse_normalisation("0/1") == ((0.0,), (1.0,))


@pytest.mark.parametrize("text", ["a/b", "1/2/3", "/", "0.5,/1,1"])
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"is not mean/std\. Write for instance"):
        parse_normalisation(text)


@pytest.mark.parametrize("text", ["0/0", "0/-1", "0,0/1", "0/1,1", "nan/1", "0/nan", "inf/1", "0/inf"])
def test_numbers_that_cannot_normalise_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="every standard deviation above 0"):
        parse_normalisation(text)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean cifar10"):
        parse_normalisation("cifar")
    with pytest.raises(UnknownNameError, match="Known: bgr, rgb"):
        Preprocess((0.0,), (1.0,), "gbr")


@pytest.mark.parametrize(("mean", "std"), [((), ()), ((0.0,), (0.0,)), ((0.0, 0.0), (1.0,)), ((0.0,), (float("nan"),))])
def test_the_module_refuses_them_too(mean: tuple[float, ...], std: tuple[float, ...]) -> None:
    with pytest.raises(InputError, match="preprocessing"):
        Preprocess(mean, std)


def test_means_that_do_not_fit_the_channels_are_refused() -> None:
    gray = torch.zeros(2, 1, 8, 8)
    with pytest.raises(InputError, match="3 means for images of 1 channels"):
        Preprocess((0.5, 0.4, 0.3), (0.2, 0.2, 0.2))(gray)
    assert Preprocess((0.5,), (0.25,))(torch.zeros(2, 3, 8, 8)).shape == (2, 3, 8, 8)
