"""Memory of the command line."""

from __future__ import annotations

import subprocess
import sys

import pytest

# In a process of its own, since the setting stays for good.
COUNT = """
import resource, sys
import torch
torch.set_num_threads(1)
if sys.argv[1] == "keep":
    from pinprick.cli.memory import keep_freed_memory
    assert keep_freed_memory()
# Small pieces that come to lie between the first few tensors keep them apart, so that it takes some rounds to settle.
for number in range(24):
    if number == 16:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    tensor = torch.ones(16_000_000)
    del tensor
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc only")
def test_freed_memory_is_used_again_without_the_kernel() -> None:
    faults = {
        how: int(subprocess.run([sys.executable, "-c", COUNT, how], capture_output=True, check=True).stdout)
        for how in ("keep", "default")
    }
    assert faults["keep"] * 20 < faults["default"], faults
