"""No test of image sets leaves the machine, whatever the environment says."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask the loopback server directly, past any proxy, and forget mirrors that the environment names."""
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    for name in ("PINPRICK_CIFAR10_URL", "PINPRICK_MNIST_URL"):
        monkeypatch.delenv(name, raising=False)
