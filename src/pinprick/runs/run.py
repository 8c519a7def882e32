"""A run: specification -> clean pass -> units -> attack -> verdicts -> store -> summary. Continues where it stopped."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pinprick.attacks.base import Attack
from pinprick.data.image_set import ImageSet
from pinprick.errors import HaltError, InputError, OutOfMemoryError, RunStoppedError, one_line
from pinprick.outcomes import Outcome
from pinprick.runs.clean import CleanPass, clean_pass, image_order
from pinprick.runs.engines import settle_engines
from pinprick.runs.manifest import check_same, make_manifest, run_id
from pinprick.runs.plan import PlannedUnit, plan
from pinprick.runs.ready import load_spec_target, ready, settled_images, told_for
from pinprick.runs.result import Listener, RunResult
from pinprick.runs.same_model import SIMILAR, check_clean, merged, read_clean, write_clean
from pinprick.runs.spec import Spec
from pinprick.runs.store import Store, write_atomically
from pinprick.runs.summary import summarise
from pinprick.runs.tally import Tally
from pinprick.runs.watch import LEDGER, Watch
from pinprick.targets.base import Target
from pinprick.targets.editing import Editing
from pinprick.targets.meter import Meter
from pinprick.targets.passes import ROWS, default_rows, fewer_rows, fitting_rows, row_drift
from pinprick.units import Unit
from pinprick.verify import verify

ROWS_MIXED = 1e-3
"""Scores that change more than this with the rest of the batch are not those of one image."""
MOSTLY_RIGHT = 0.6
"""Clean accuracy under this is warned of where twice chance is more."""
HALF_RIGHT = 0.5
"""Clean accuracy under this is worth a look, which is said where :data:`FEW` images or more were scored."""
FEW = 10


def run(
    spec: Spec, *, target: Target | None = None, images: ImageSet | None = None, listener: Listener | None = None
) -> RunResult:
    """Run a specification to its end, or continue one that was stopped.

    Parameters
    ----------
    target, images : used in place of what ``spec.model`` and ``spec.data`` name.

    Raises
    ------
    InputError : something that was given cannot be used; nothing stored is lost.
    RunStoppedError : the first 20 units all failed.
    HaltError : the run's budget was spent, or a remote target gone, before the first unit began. Later on that ends
        the run, and is said in the result (:attr:`pinprick.runs.result.RunResult.stopped`).
    KeyboardInterrupt : Ctrl-C; what has ended is stored.
    """
    listener = listener or Listener()
    started = time.perf_counter()
    target = target or load_spec_target(spec)
    spec = told_for(spec, target, listener)
    images = settled_images(spec, target, images, listener)
    order = image_order(images, spec.seed, shuffled=spec.first is None)
    spec.check_shape(*images.image(int(order[0])).shape)
    ready(target, images, order[:64].tolist(), listener)
    for attack in spec.attacks():
        attack.check_target(target)
    try:
        with Store(spec.out) as store:
            job = _Run(spec, target, images, store, listener)
            try:
                return job.go(order, started)
            finally:
                if job.watch is not None:
                    job.watch.end(finished=job.finished)
    except MemoryError as error:
        # Not of a pass of the model: those are made smaller.
        raise InputError(
            "memory",
            f"it ran out in the attack itself ({one_line(error)})",
            "Give fewer pixels, a smaller --batch-size or smaller images. What has ended is stored with --out, and the "
            "same command continues.",
        ) from error


class _Run:
    def __init__(self, spec: Spec, target: Target, images: ImageSet, store: Store, listener: Listener) -> None:
        self.spec, self.target, self.images, self.store, self.listener = spec, target, images, store, listener
        self.manifest: dict[str, Any] = {}
        self.rows = 0
        self.editing: Editing | None = None
        self.same_conditions = True
        self.repeats = target.deterministic
        """Whether equal images get equal scores, as far as was seen."""
        self.watch: Watch | None = None
        self.stopped: str | None = None
        """Why the run ended before its last unit."""
        self.finished = False

    def go(self, order: Any, started: float) -> RunResult:
        self._open_folder(int(order[0]))
        self.watch = watch = Watch(self.spec, self.target, self.images, self.spec.out, self.listener.say)
        self._settle_engines(order[:64].tolist())
        self._check_rows(order[:64].tolist())
        self.store.log("start", images=len(order))
        with watch.charging("unchanged"):
            clean = clean_pass(
                self.target,
                self.images,
                wanted=self.spec.wanted(),
                order=order,
                rows_a_pass=self.rows,
                predicted=self.spec.labels == "predicted",
            )
        watch.begin(clean)
        self._tell_clean(clean)
        widest = self._keep_clean(clean)
        if self.spec.retry_failed:
            self._retry_failed(clean)
        while True:
            try:
                self._attack(clean, watch)
                break
            except OutOfMemoryError as error:
                self._smaller(error)
            except HaltError as error:
                self.stopped = str(error)
                self.store.log("halted", reason=self.stopped)
                break
        table = self._finish(clean)
        seconds = time.perf_counter() - started
        names = [attack.name for attack in self.spec.attacks()]
        rows = summarise(table, names, self.spec.pixels, self.spec.goal)
        counts = None if watch.ledger is None else watch.ledger.as_dict()
        result = RunResult(
            self.spec, rows, clean.images, len(clean.right), seconds, table, stopped=self.stopped, ledger=counts
        )
        self.store.log("done", seconds=round(seconds, 3))
        if self.spec.out is not None and widest:
            summary = {name: value for name, value in result.as_dict().items() if name != "seconds"}
            write_atomically(self.spec.out / "summary.json", json.dumps(summary, indent=2, allow_nan=False) + "\n")
        return result

    def _open_folder(self, index: int) -> None:
        """Check that the folder holds this run, or is free for it; settles the number of rows a pass.

        The manifest of a new run is written once its images are known to be fit, so that a mistake leaves nothing
        behind that the corrected command stumbles over.
        """
        stored = self.store.manifest()
        if stored is not None:
            self.rows = int(stored["passes"]["rows"])
            now = make_manifest(self.spec, self.target, self.images, self.rows)
            # Read as the run that wrote them, whether or not it is this one.
            self.store.run_id = run_id(stored)
            try:
                differences = check_same(str(self.spec.out), stored, now)
            except InputError:
                if len(self.store.table()):
                    raise
                self.listener.say(f"{self.spec.out} holds another run without any outcome; it is begun anew")
                assert self.spec.out is not None
                (self.spec.out / LEDGER).unlink(missing_ok=True)
            else:
                for difference in differences:
                    self.listener.say(f"warning: continued under other conditions, {difference}")
                self.same_conditions = not differences
                self.manifest = stored
                return
        wanted = self.spec.batch_size or default_rows(self.target)
        self.rows = fitting_rows(self.target, self.images.image(index), wanted)
        if self.rows < wanted:
            self.listener.say(f"memory is short: {self.rows} rows a pass in place of {wanted}")
        self.manifest = make_manifest(self.spec, self.target, self.images, self.rows)
        self.store.run_id = run_id(self.manifest)

    def _settle_engines(self, indices: list[int]) -> None:
        """Choose how candidates are scored, as the run's beginning did where this continues one."""
        passes = self.manifest["passes"]
        # A run of an earlier version says nothing of it, and was dense.
        stored = None if self.manifest["clean"] is None else passes.get("incremental", {})
        self.editing, passes["incremental"] = settle_engines(
            self.spec, self.target, self.images, indices, stored, self.listener
        )

    def _check_rows(self, indices: list[int]) -> None:
        """Warn where scores depend on the images beside, or on the place in a pass."""
        if not (self.target.local and self.target.deterministic):
            return
        drift = row_drift(self.target, self.images.stack(indices), self.rows)
        self.repeats = drift <= ROWS_MIXED
        if drift > ROWS_MIXED:
            self.listener.say(
                f"warning: scores of one image change by {drift:.1g} of their size with the images beside it. The "
                "model is random or mixes images (batch norm in training mode?); figures depend on the batch"
            )
        elif drift > 0 and self.rows < ROWS["cpu"]:
            self.listener.say(
                f"note: scores of one image change by {drift:.1g} of their size with its place in a pass of "
                f"{self.rows} rows, so that another order of the units may give another table; 64 rows or more avoid it"
            )

    def _tell_clean(self, clean: CleanPass) -> None:
        """Warnings about the unchanged images."""
        say, wanted, right = self.listener.say, self.spec.limit or self.spec.first, len(clean.right)
        # Of the default number nobody has asked for so many.
        if wanted is not None and right < wanted:
            say(
                f"only {right} of {clean.images} image{'' if clean.images == 1 else 's'} "
                f"{'is' if right == 1 else 'are'} classified right; {wanted} were asked for"
            )
        if clean.failed:
            say(f"{clean.failed} unchanged images got no scores and count as wrong ({clean.first_reason})")
        classes = self.target.classes or self.target.at_least
        # Twice chance, but of two or three classes that would be all or most.
        low = min(2 / classes, MOSTLY_RIGHT)
        if clean.accuracy is None or self.spec.labels != "given":
            return
        causes = self.target.suspects
        if clean.accuracy < low:
            under = "twice chance" if low < MOSTLY_RIGHT else f"{low:.0%}"
            say(
                f"warning: clean accuracy is {clean.accuracy:.1%}, under {under} for {classes} classes. Usual "
                f"causes: {causes}"
            )
        elif clean.accuracy < HALF_RIGHT and clean.images >= FEW:
            say(f"clean accuracy is low, {clean.accuracy:.1%}. If you expected more, the usual causes are {causes}")

    def _keep_clean(self, clean: CleanPass) -> bool:
        """Compare the unchanged images' scores with those of the run's beginning, and store them and the manifest.

        Returns whether this call covers as many images as any before it.
        """
        old = read_clean(self.spec.out)
        if old is not None and self.manifest["clean"] is not None and self.repeats:
            assert self.watch is not None
            tolerance = self.watch.tolerance if self.same_conditions else SIMILAR
            check_clean(str(self.spec.out), old, clean.scored, tolerance)
        stored = self.manifest["clean"]
        widest = stored is None or clean.images >= stored["images"]
        if widest:
            self.manifest["clean"] = {
                "images": clean.images,
                "attacked": len(clean.right),
                "failed": clean.failed,
                "accuracy": clean.accuracy,
            }
        self.store.write_manifest(self.manifest)
        if self.spec.out is not None:
            write_clean(self.spec.out, clean.scored if stored is None else merged(old, clean.scored))
        return widest

    def _retry_failed(self, clean: CleanPass) -> None:
        table = self.store.table()
        planned = pa.array([unit.key for _, _, units in self._planned(clean) for unit in units], pa.string())
        mine = pc.and_(pc.equal(table["status"], "failed"), pc.is_in(table["key"], planned))
        failed = table.filter(mine)["key"].to_pylist()
        if failed:
            self.listener.say(f"trying {len(failed)} failed units again")
            self.store.forget(failed)

    def _planned(self, clean: CleanPass) -> Iterator[tuple[Attack, int, list[PlannedUnit]]]:
        for attack in self.spec.attacks():
            for pixels in self.spec.pixels:
                yield attack, pixels, list(plan(self.spec, attack, pixels, clean.right))

    def _questions(self, pixels: int) -> int:
        channels, height, width = self.images.image(0).shape
        return self.spec.questions((channels, height, width), pixels)

    def _attack(self, clean: CleanPass, watch: Watch) -> None:
        """Attack every unit that has no outcome yet.

        Raises
        ------
        HaltError : the run's budget does not hold another unit, or its target is gone or another one.
        """
        status = dict(zip(*(self.store.table()[name].to_pylist() for name in ("key", "status")), strict=True))
        groups = list(self._planned(clean))
        keys = [unit.key for _, _, units in groups for unit in units]
        old = [status[key] for key in keys if key in status]
        self.listener.on_plan(len(keys), len(old))
        at_most = sum(
            self._questions(pixels) * sum(unit.key not in status for unit in units) for _, pixels, units in groups
        )
        tally = Tally(self.listener, len(old), old.count("failed"), successes=old.count("fooled"), at_most=at_most)
        tally.check(None)
        for attack, pixels, units in groups:
            pending = (unit.unit(self.images) for unit in units if unit.key not in status)
            tally.budget = self._questions(pixels)
            meter = Meter(
                *(self.target, tally.budget, self.rows),
                cache=self.target.deterministic,
                editing=None if attack.strays else self.editing,
                levels=attack.on_windows(pixels),
            )
            meter.on_asked = tally.questions
            meter.margin = watch.margin
            done = 0
            try:
                for outcome in self._outcomes(attack, meter, pending):
                    done += 1
                    self.store.add(watch.passed(outcome))
                    tally.note(outcome, meter.total_asked)
            except RunStoppedError:
                self.store.add(watch.look())
                raise
            self.store.add(watch.look())
            tally.next_meter()
            if done < sum(unit.key not in status for unit in units):
                raise HaltError(watch.spent(tally.budget))
        self.store.flush()

    def _outcomes(self, attack: Attack, meter: Meter, units: Iterator[Unit]) -> Iterator[Outcome]:
        candidates = attack.run(meter, units)
        with closing(candidates):  # type: ignore[type-var]
            for candidate in candidates:
                yield verify(candidate, self.target.probabilities)

    def _smaller(self, error: OutOfMemoryError) -> None:
        """Memory ran out in the middle: start all units again under half the rows, so that one table has one shape."""
        old, fewer = self.rows, fewer_rows(self.target, self.rows)
        if not fewer:
            raise error
        self.rows = fewer
        self.listener.say(f"memory ran out at {old} rows a pass: every unit starts again with {self.rows}")
        self.store.set_aside(f"rows-{old}")
        self.manifest["passes"]["rows"] = self.rows
        self.store.run_id = run_id(self.manifest)
        self.manifest["events"].append({"event": "memory ran out", "rows": old, "next": self.rows})
        self.store.write_manifest(self.manifest)
        self.store.log("memory ran out", rows=old)

    def _finish(self, clean: CleanPass) -> pa.Table:
        """Write the finished table; return the part of it that this spec asks for."""
        table = self.store.finish()
        groups = [units for _, _, units in self._planned(clean)]
        if self.spec.save_images and self.spec.out is not None:
            from pinprick.runs.pictures import save_pictures

            save_pictures(self.spec.out / "images", table, [unit for units in groups for unit in units], self.images)
        keys = pa.array([unit.key for units in groups for unit in units], pa.string())
        mine = table.filter(pc.is_in(table["key"], keys))
        self.finished = len(mine) == len(keys)
        return mine
