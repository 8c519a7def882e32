"""A run: specification -> clean pass -> units -> attack -> verdicts -> store -> summary. Continues where it stopped."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pinprick.attacks.base import Attack
from pinprick.data.image_set import ImageSet
from pinprick.errors import HaltError, InputError, OutOfMemoryError, RunStoppedError, one_line
from pinprick.outcomes import Outcome
from pinprick.runs.clean import CleanPass, clean_pass, image_order
from pinprick.runs.clean_told import tell_clean
from pinprick.runs.draws import settle_draws
from pinprick.runs.engines import settle_engines
from pinprick.runs.manifest import check_same, make_manifest, run_id
from pinprick.runs.plan import PlannedUnit, plan
from pinprick.runs.ready import as_begun, load_spec_target, ready, settled_images, told_for
from pinprick.runs.result import Listener, RunResult
from pinprick.runs.same_model import SIMILAR, check_clean, merged, read_clean, write_clean
from pinprick.runs.spec import Spec
from pinprick.runs.store import Store, read_outcomes, write_atomically
from pinprick.runs.summary import COLUMNS, summarise
from pinprick.runs.tally import Tally
from pinprick.runs.watch import Watch
from pinprick.targets.base import Target
from pinprick.targets.editing import Editing
from pinprick.targets.ledger import FILE
from pinprick.targets.meter import Meter
from pinprick.targets.passes import ROWS, default_rows, fewer_rows, fitting_rows, row_drift
from pinprick.units import Unit
from pinprick.verify import verify

ROWS_MIXED = 1e-3
"""Scores that change more than this with the rest of the batch are not those of one image."""


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
    as_begun(spec, target)
    ready(target, images, order[:64].tolist(), listener, spec.precision, predicted=spec.labels == "predicted")
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
        self.drifts: dict[int, float] = {}
        """How much scores change with the place in a pass, by the rows of it."""
        self.repeats = target.deterministic
        """Whether equal images get equal scores, as far as was seen."""
        self.watch: Watch | None = None
        self.stopped: str | None = None
        """Why the run ended before its last unit."""
        self.finished = False
        self.draws = 1
        """Passes that decide on each image; several where they do not."""

    def go(self, order: Any, started: float) -> RunResult:
        self._open_folder(order[:64].tolist())
        self._settle_engines(order[:64].tolist())
        self._check_rows(order[:64].tolist())
        # What was asked up to here was about the model, and cost nothing over a wire.
        self.watch = watch = Watch(self.spec, self.target, self.images, self.spec.out, self.listener.say)
        self.store.log("start", images=len(order))
        with watch.charging("unchanged"):
            clean = clean_pass(
                self.target,
                self.images,
                wanted=self.spec.wanted(),
                order=order,
                # Each image of a remote model may cost: no more of them than will do, as far as is known.
                rows_a_pass=self.rows if self.target.local else min(self.rows, self.spec.wanted()),
                predicted=self.spec.labels == "predicted",
                draws=self.draws,
                check=self._early_check(),
            )
        watch.begin(clean)
        tell_clean(self.spec, self.target, clean, self.listener)
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
        result = self._finish(clean, started)
        seconds = result.seconds
        self.store.log("done", seconds=round(seconds, 3))
        if self.spec.out is not None and widest:
            summary = {name: value for name, value in result.as_dict().items() if name != "seconds"}
            write_atomically(self.spec.out / "summary.json", json.dumps(summary, indent=2, allow_nan=False) + "\n")
        return result

    def _open_folder(self, indices: list[int]) -> None:
        """Check that the folder holds this run, or is free for it; settles the number of rows a pass.

        The manifest of a new run is written once its images are known to be fit: a mistake leaves nothing behind.
        """
        stored = self.store.manifest()
        if stored is not None:
            self.rows = int(stored["passes"]["rows"])
            self._settle_draws(indices, stored)
            now = make_manifest(self.spec, self.target, self.images, self.rows, self.draws)
            # Read as the run that wrote them, whether or not it is this one.
            self.store.run_id = run_id(stored)
            try:
                differences = check_same(str(self.spec.out), stored, now)
            except InputError:
                if self.store.statuses():
                    raise
                self.listener.say(f"{self.spec.out} holds another run without any outcome; it is begun anew")
                assert self.spec.out is not None
                (self.spec.out / FILE).unlink(missing_ok=True)
            else:
                for difference in differences:
                    self.listener.say(f"warning: continued under other conditions, {difference}")
                self.same_conditions = not differences
                self.manifest = stored
                return
        image = self.images.image(indices[0])
        wanted = self.spec.batch_size or default_rows(self.target, image.shape)
        usual = max(wanted, self.spec.batch_size or default_rows(self.target))
        self.rows = fitting_rows(self.target, image, wanted)
        if self.rows == wanted < usual and self._drift(indices) > 0:
            # Shorter passes only where an image has the same bits in any place of them.
            self.rows, wanted = fitting_rows(self.target, image, usual), usual
        if self.rows < wanted:
            self.listener.say(f"memory is short: {self.rows} rows a pass in place of {wanted}")
        self._settle_draws(indices, None)
        self.manifest = make_manifest(self.spec, self.target, self.images, self.rows, self.draws)
        self.store.run_id = run_id(self.manifest)

    def _settle_draws(self, indices: list[int], stored: dict[str, Any] | None) -> None:
        """How many passes decide; before anything else that hangs on whether the target is random."""
        self.draws = settle_draws(self.spec, self.target, self.images, indices, self.rows, stored, self.listener)
        self.repeats = self.target.deterministic

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
        drift = self._drift(indices)
        self.repeats = drift <= ROWS_MIXED
        if drift > ROWS_MIXED:
            self.listener.say(
                f"warning: scores of one image change by {drift:.1g} of their size with the images beside it. The "
                "model mixes images (batch norm in training mode?); figures depend on the batch"
            )
        elif drift > 0 and self.rows < ROWS["cpu"]:
            self.listener.say(
                f"note: scores of one image change by {drift:.1g} of their size with its place in a pass of "
                f"{self.rows} rows, so that another order of the units may give another table; 64 rows or more avoid it"
            )

    def _drift(self, indices: list[int]) -> float:
        """How much scores change with the place in a pass (:func:`pinprick.targets.passes.row_drift`), seen once."""
        if self.rows not in self.drifts:
            self.drifts[self.rows] = row_drift(self.target, self.images.stack(indices), self.rows)
        return self.drifts[self.rows]

    def _early_check(self) -> Callable[[pa.Table], None] | None:
        """Of a run that goes on: refuses another model after its first images, before more of them are asked for."""
        old = read_clean(self.spec.out) if self.manifest["clean"] is not None and self.repeats else None
        if old is None:
            return None
        return lambda latest: check_clean(str(self.spec.out), old, latest, SIMILAR)

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
            self.manifest["given"] |= {"limit": self.spec.limit, "first": self.spec.first}
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
        stored = {key for key, status in self.store.statuses().items() if status == "failed"}
        failed = [unit.key for unit in self._planned(clean) if unit.key in stored]
        if failed:
            self.listener.say(f"trying {len(failed)} failed units again")
            self.store.forget(failed)

    def _groups(self) -> Iterator[tuple[Attack, int]]:
        for attack in self.spec.attacks():
            for pixels in self.spec.pixels:
                yield attack, pixels

    def _planned(self, clean: CleanPass) -> Iterator[PlannedUnit]:
        """Every unit of this call, made anew each time: together they take more room than their outcomes."""
        for attack, pixels in self._groups():
            yield from plan(self.spec, attack, pixels, clean.right)

    def _questions(self, pixels: int) -> int:
        channels, height, width = self.images.image(0).shape
        return self.spec.questions((channels, height, width), pixels, self.draws)

    def _attack(self, clean: CleanPass, watch: Watch) -> None:
        """Attack every unit that has no outcome yet.

        Raises
        ------
        HaltError : the run's budget does not hold another unit, or its target is gone or another one.
        """
        status = self.store.statuses()
        questions = {pixels: self._questions(pixels) for pixels in self.spec.pixels}
        old: Counter[str] = Counter()
        new: Counter[tuple[str, int]] = Counter()
        for unit in self._planned(clean):
            stored = status.get(unit.key)
            if stored is None:
                new[unit.attack, unit.pixels] += 1
            else:
                old[stored] += 1
        self.listener.on_plan(old.total() + new.total(), old.total())
        at_most = sum(questions[pixels] * count for (_, pixels), count in new.items())
        tally = Tally(self.listener, old.total(), old["failed"], successes=old["fooled"], at_most=at_most)
        tally.check(None)
        for attack, pixels in self._groups():
            planned = plan(self.spec, attack, pixels, clean.right)
            pending = (unit.unit(self.images) for unit in planned if unit.key not in status)
            tally.budget = questions[pixels]
            meter = Meter(
                *(self.target, tally.budget, self.rows),
                draws=self.draws,
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
            except KeyboardInterrupt as stop:
                if watch.waiting:
                    stop.add_note(watch.waiting)
                raise
            finally:
                meter.end()
            self.store.add(watch.look())
            tally.next_meter()
            if done < new[attack.name, pixels]:
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

    def _finish(self, clean: CleanPass, started: float) -> RunResult:
        """Write the finished table; sum up the part of it that this spec asks for."""
        self.store.finish()
        if self.spec.save_images and self.spec.out is not None:
            from pinprick.runs.pictures import COLUMNS as OF_PICTURES
            from pinprick.runs.pictures import save_pictures

            fooled = self.store.rows(OF_PICTURES, "fooled")
            save_pictures(self.spec.out / "images", fooled, self._planned(clean), self.images)
        keys = pa.chunked_array(_key_arrays(self._planned(clean)), pa.string()).combine_chunks()
        table = self.store.select(COLUMNS)
        table = table.filter(pc.is_in(table["key"], keys))
        self.finished = len(table) == len(keys)
        failed = table.filter(pc.equal(table["status"], "failed"))
        return RunResult(
            self.spec,
            summarise(
                table,
                [attack.name for attack in self.spec.attacks()],
                self.spec.pixels,
                self.spec.goal,
                sure=self.target.outputs != "labels",
            ),
            images=clean.images,
            attacked=len(clean.right),
            failed=len(failed),
            first_reason=failed["reason"][0].as_py() if len(failed) else None,
            seconds=time.perf_counter() - started,
            load=partial(_asked_for, self.spec.out or self.store.table(), self.store.run_id, keys),
            stopped=self.stopped,
            ledger=None if self.watch is None or self.watch.ledger is None else self.watch.ledger.as_dict(),
        )


def _asked_for(stored: Path | pa.Table, run_id: str | None, keys: pa.Array) -> pa.Table:
    """The outcomes with these keys, of a folder or of a table."""
    table = stored if isinstance(stored, pa.Table) else read_outcomes(stored, run_id)
    return table.filter(pc.is_in(table["key"], keys))


def _key_arrays(units: Iterator[PlannedUnit]) -> Iterator[pa.Array]:
    while part := [unit.key for unit in islice(units, 4096)]:
        yield pa.array(part, pa.string())
