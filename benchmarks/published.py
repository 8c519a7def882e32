"""The runs whose outcomes are in results/: makes them, or goes on with those that have fewer images.

    python -m benchmarks.published --data cifar10:test --only nin-one-pixel-3 ... | --attack few-pixel | --all

Say which: --only, --attack, or --all of them; `--list` prints the commands. Each is one `pinprick attack` on the first
right images, seed 0, the attack as it comes. Runs are made in runs/published; one that is stopped is continued by the
same command, and put into results/ when it is done. With `--go-on` a run begins with what results/ holds of it; that
takes the very image set that it was begun with.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

RESULTS = Path(__file__).parents[1] / "results"
FILES = ("manifest.json", "clean.parquet", "outcomes.parquet")
"""What of a run's folder is kept: all that reading it and going on with it takes."""
NETS = ("nin", "allconv", "resnet32")
ATTACKS = ("few-pixel", "one-pixel")
DERIVED = 30
"""Images whose nine other classes are targets."""


@dataclass(frozen=True)
class Published:
    """One run: a network that comes with the package, an attack, ``pixels``, and whether each class is a target."""

    net: str
    attack: str
    pixels: int
    targeted: bool = False

    @property
    def name(self) -> str:
        return f"{self.net}-{self.attack}-{'targeted' if self.targeted else self.pixels}"

    def options(self, data: str, images: int | None, out: Path) -> list[str]:
        """Of `pinprick attack`."""
        n = images or (DERIVED if self.targeted else 100)
        goal = ["--goal", "untargeted-derived"] if self.targeted else []
        of = ["--model", f"{self.net}-cifar10", "--data", data, "--attack", self.attack, "--pixels", str(self.pixels)]
        return [*of, *goal, "--first", str(n), "--baseline", "none", "--out", str(out)]


def all_runs() -> Iterator[Published]:
    """Those that take least first."""
    for attack in ATTACKS:
        for pixels in (1, 3, 5):
            yield from (Published(net, attack, pixels) for net in NETS)
        yield from (Published(net, attack, 1, targeted=True) for net in NETS)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="cifar10:test", help="an image set as pinprick takes it")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="folders of results/")
    parser.add_argument("--attack", choices=ATTACKS)
    parser.add_argument("--all", action="store_true", help="all runs")
    parser.add_argument("--images", type=int, help="in place of 100 untargeted and 30 targeted")
    parser.add_argument("--work", type=Path, default=Path("runs/published"), help="where runs are made")
    parser.add_argument("--go-on", action="store_true", help="begin with what is in results/")
    parser.add_argument("--list", action="store_true", help="print the commands and run nothing")
    given = parser.parse_args()
    if not (given.only or given.attack or given.all or given.list):
        # They replace what is in results/: not by a command without a word of it.
        print("error: which runs? Give --only NAME ..., --attack NAME, or --all; --list tells them", file=sys.stderr)
        return 2
    runs = {one.name: one for one in all_runs() if given.attack in {None, one.attack}}
    if unknown := set(given.only or ()) - runs.keys():
        print(f"error: no run {', '.join(sorted(unknown))}; there are {', '.join(runs)}", file=sys.stderr)
        return 2
    for run in [runs[name] for name in given.only or runs]:
        folder = given.work / run.name
        options = run.options(given.data, given.images, folder)
        print(shlex.join(["pinprick", "attack", *options]), flush=True)
        if given.list:
            continue
        if given.go_on and not folder.exists() and (RESULTS / run.name).exists():
            shutil.copytree(RESULTS / run.name, folder)
        status = subprocess.run([sys.executable, "-m", "pinprick", "attack", *options], check=False).returncode
        if status:
            return status
        (RESULTS / run.name).mkdir(parents=True, exist_ok=True)
        for name in FILES:
            shutil.copy2(folder / name, RESULTS / run.name / name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
