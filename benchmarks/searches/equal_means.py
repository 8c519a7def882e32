"""What a run fools at the questions that other runs ask on average: equal means rather than equal budgets.

    python -m benchmarks.searches.equal_means runs/few-pixel-10000 runs/sketch

The first run is of an attack whose course does not follow its budget (`few-pixel`). Cut off after b questions, a unit
costs what its success costs, or b where it has none by then, or all that it asked where it ended before b; for each of
the other runs, b is the largest budget at which the mean over all units is no more than that run's mean. Both sides
count failures.
"""

from __future__ import annotations

import argparse

import numpy as np
import pyarrow as pa
from benchmarks.searches.runs import asked, fooled, of, print_table, share, within
from numpy.typing import NDArray

import pinprick
from pinprick.metrics.budget import cost_of_success


def spent(table: pa.Table) -> NDArray[np.float64]:
    """What each unit costs, ``(N,)``: up to its success, or all that it asked."""
    costs: NDArray[np.float64] = np.minimum(cost_of_success(table), table["asked"].to_numpy())
    return costs


def largest_budget(costs: NDArray[np.float64], mean: float, most: int) -> int:
    """The largest budget up to ``most`` at which these costs have at most this mean."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if np.minimum(costs, middle).mean() <= mean else (low, middle - 1)
    return low


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", help="the run that is cut off")
    parser.add_argument("others", nargs="+", help="the runs whose means it is cut off at")
    given = parser.parse_args()
    ours = pinprick.read_outcomes(given.run)
    rows = []
    for folder in given.others:
        other = pinprick.read_outcomes(folder)
        for pixels in sorted(set(other["pixels"].to_pylist())):
            mine, theirs = of(ours, pixels), of(other, pixels)
            if not len(mine):
                continue
            if sorted(mine["image"].to_pylist()) != sorted(theirs["image"].to_pylist()):
                parser.error(f"{given.run} and {folder} are not of the same images at {pixels} pixels")
            costs, most = spent(mine), int(max(mine["asked"].to_pylist()))
            budget = largest_budget(costs, asked(theirs), most)
            mean = float(np.minimum(costs, budget).mean())
            rows.append([pixels, theirs["attack"][0].as_py(), share(len(fooled(theirs)), len(theirs)), asked(theirs),
                         share(within(mine, budget), len(mine)), mean, f"{budget:,}"])  # fmt: skip
    print_table(
        ["pixels", "other", "fools", "questions, mean", "this run fools", "questions, mean", "cut off at"], rows
    )


if __name__ == "__main__":
    main()
