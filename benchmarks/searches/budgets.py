"""Success at equal budgets: `few-pixel` beside Sparse-RS and CornerSearch.

    python -m benchmarks.searches.budgets --data cifar10:test --models nin-cifar10 --pixels 3 5

Of `few-pixel` one run at the largest budget tells all smaller ones, as what it asks does not depend on the budget; the
others are run for each. A budget is questions a unit, and one more verifies. Runs are kept under ``--out``: what was
stopped goes on, and a second call prints the table at once.
"""

from __future__ import annotations

import argparse

from benchmarks.searches.runs import Images, common, kept, of, print_table, share, within

BUDGETS = (100, 300, 1000, 3000, 10_000)
OTHERS = ("sparse-rs", "corner-search")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    common(parser, models=("allconv-cifar10", "nin-cifar10", "resnet32-cifar10"), pixels=(3, 5))
    parser.add_argument("--budgets", type=int, nargs="+", default=list(BUDGETS))
    parser.add_argument("--others", nargs="*", default=list(OTHERS))
    given = parser.parse_args()
    images, pixels = Images(given.data, given.images, given.out), tuple(given.pixels)
    rows = []
    for model in given.models:
        ours = kept(images, f"few-pixel-{max(given.budgets)}", model, "few-pixel", pixels=pixels,
                    budget=max(given.budgets) + 1).table  # fmt: skip
        others = {
            (name, budget): kept(images, f"{name}-{budget}", model, name, pixels=pixels, budget=budget + 1).table
            for name in given.others
            for budget in given.budgets
        }
        for number in pixels:
            n = len(of(ours, number))
            for budget in given.budgets:
                found = [share(within(of(ours, number), budget + 1), n)]
                found += [share(within(of(others[name, budget], number), budget + 1), n) for name in given.others]
                rows.append([f"`{model}`", number, f"{budget:,}", *found])
    print_table(["`--model`", "pixels", "questions a unit at most", "few-pixel", *given.others], rows)


if __name__ == "__main__":
    main()
