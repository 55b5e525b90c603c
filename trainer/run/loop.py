"""A training run from its first step, or from its newest checkpoint, to its summary.

In: a `RunConfig`. Out: the folder `out`, as `trainer.run.folder` names its files.

What always holds: every rank takes the same decisions, because each depends on numbers reduced over all ranks; the
state counts a batch once the optimizer has consumed it; a checkpoint is written before a model is scored, also before
the end; whatever ends a run, starting it again with the same settings goes on from the newest checkpoint and ends with
the same weights, to the bit on the same ranks. One that has finished is left as it is.

`summary.json` exists only once a run has ended in order, and says how in `state`: `finished`, `time_limit`
(training.max_minutes) or `interrupted` (a signal came: not the end of the training).

The loop itself is here. Beside it: `finished` and `resume` (where a run begins), `learner` (the two halves of a step),
`loss_guard` and `roll_back` (bad batches), `evaluator`, `checkpointing`, `ending` and `grace` (signals and the time
limit), `meter` and `metrics` (figures), `outcome` (what is left at the end).
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from trainer.config import RunConfig
from trainer.data.feed import Feed
from trainer.data.reader import SequenceReader
from trainer.data.shards import check_vocabulary
from trainer.errors import ConfigError
from trainer.files import remove_attempts, remove_unfinished, write_json
from trainer.model.kernels import PLAIN, computed_by
from trainer.model.loss import IGNORE
from trainer.numbers import duration
from trainer.optim.schedule import steps_in_time
from trainer.process.abilities import check_abilities
from trainer.process.ranks import Ranks
from trainer.process.signals import GRACE_SECONDS, StopRequest
from trainer.run.checkpointing import Checkpoints
from trainer.run.checkpoints.best import better
from trainer.run.ending import Ending
from trainer.run.evaluator import Evaluator
from trainer.run.figures.meter import RunMeter
from trainer.run.figures.metrics import MetricsLog, StepFigures
from trainer.run.figures.record import record_of
from trainer.run.figures.summary import End, RunSummary, TeacherRecord
from trainer.run.figures.trackers import Trackers, check_trackers
from trainer.run.finished import finished_before, weights_are_whole
from trainer.run.folder import CHECKPOINTS, CONFIG_FILE, FILES, RUN_FILE, SUMMARY_FILE
from trainer.run.grace import Grace
from trainer.run.lock import RunLock, only_writer
from trainer.run.loss_guard import BadLoss, LossGuard
from trainer.run.outcome import leave_outcome, summarise
from trainer.run.pace import Pace
from trainer.run.precision import Precision
from trainer.run.resume import begin, check_checkpoint
from trainer.run.roll_back import RollBack
from trainer.run.teachers import teacher_records
from trainer.run.ways import Ways
from trainer.scoring.choices import ChoiceSet, read_choices
from trainer.scoring.interruption import EvaluationStoppedError
from trainer.scoring.validation import HeldoutSet, read_heldout

log = logging.getLogger(__name__)


def train(config: RunConfig, ranks: Ranks, stop: StopRequest) -> RunSummary:
    """Train to the end, or until `stop`; returns the summary, with this rank's own clock and memory.

    Raises a `TrainerError` for settings that do not fit the shards, ranks or checkpoints, and for a bad loss where
    `training.on_bad_loss` says so.
    """
    check_trackers(config.training)
    epochs = [Path(path) for path in config.data.epochs]
    reader = SequenceReader(epochs, config.model.context, packed=config.data.packed)
    _check(config, reader, ranks)
    heldout = read_heldout(config.data.validation, reader.tokenizer)
    choices = read_choices(config.data.choices, reader.tokenizer, config.model.context)
    teachers = teacher_records(config)
    with only_writer(Path(config.out), ranks) as lock, computed_by(PLAIN):
        finished = finished_before(config, reader.manifest_hash, teachers, ranks)
        return finished or _Run(config, ranks, stop, lock, reader, heldout, choices, teachers).go()


class _Run:
    """The state of one call of `train`."""

    def __init__(
        self,
        config: RunConfig,
        ranks: Ranks,
        stop: StopRequest,
        lock: RunLock,
        reader: SequenceReader,
        heldout: Sequence[HeldoutSet],
        choices: Sequence[ChoiceSet],
        teachers: Sequence[TeacherRecord],
    ) -> None:
        self.config, self.training, self.ranks, self.stop, self.reader = config, config.training, ranks, stop, reader
        self.lock = lock
        self.out = Path(config.out)
        self.batch = self.training.sequences_per_batch(config.model.context)
        whole = reader.steps(self.batch)
        self.steps = min(whole, self.training.max_steps or whole)
        self.pace = Pace(self.training.schedule, self.batch, self.steps)
        self.teachers = teachers
        hashes = [teacher.content_hash for teacher in teachers]
        belongs = partial(check_checkpoint, config=config, reader=reader, steps=self.steps, teachers=hashes)
        self.checkpoints = Checkpoints(self.out / CHECKPOINTS, self.training.keep_checkpoints, ranks, belongs)
        self.learner, self.state = begin(config, ranks, reader, self.checkpoints, self.pace, hashes)
        self.feed = Feed(reader, ranks.device)
        self.guard = LossGuard(self.training.jump_factor, self.state.recent_losses, self.state.recent_stage)
        self.roll_back = RollBack(self.training, ranks, self.checkpoints)
        self.evaluator = Evaluator(config, ranks, self.learner, heldout, choices, stop)
        self.grace = Grace(self.training, ranks)
        self.ending = Ending(stop, self.training.max_minutes, ranks)
        precision = Precision(self.learner.precision, self.state.precision_seconds)
        ways = Ways(precision, self.state.kernels, seconds=self.state.way_seconds)
        flops = self.learner.flops_per_token
        self.meter = RunMeter(config, ranks, reader.bytes_per_token, self.learner.model, ways, flops)

    def go(self) -> RunSummary:
        if self.ranks.is_first:
            self._open_folder()
            log.info("%s", self.meter.headline(self.pace.steps(self.steps), self.learner.micro_batch))
            for sentence in self.reader.empty_stages:
                log.warning("%s", sentence)
        metrics = self._metrics() if self.ranks.is_first else None
        self.stop.grace_seconds = GRACE_SECONDS
        self.stop.can_go_on = bool(self.state.resumed_from)
        if self.training.on_bad_loss == "roll_back" and not self.state.resumed_from:
            self._checkpoint()
        try:
            end = self._steps(metrics)
        finally:
            if metrics is not None:
                metrics.close()
        return self._end(end)

    def _metrics(self) -> MetricsLog:
        shown = self.training.tensorboard or self.training.wandb or self.training.mlflow
        if not shown:
            return MetricsLog(self.out, self.state.step)
        record = record_of(self.config, self.reader, self.ranks, self.state.step)
        return MetricsLog(self.out, self.state.step, Trackers(self.training, record, self.state.step))

    def _open_folder(self) -> None:
        if not self._over or not weights_are_whole(self.out):
            (self.out / SUMMARY_FILE).unlink(missing_ok=True)
        remove_unfinished(self.checkpoints.folder)
        for name in FILES:  # and of `out` no more than that: it may be a folder that holds others' files too
            remove_attempts(self.out / name)
        write_json(self.out / CONFIG_FILE, self.config.model.to_dict(), indent=2)
        # relative to this folder, so that the run can be read wherever the folder is moved to
        relative = self.config.with_paths(lambda path: os.path.relpath(path, self.out))
        write_json(self.out / RUN_FILE, relative.to_dict(), indent=2)

    def _steps(self, metrics: MetricsLog | None) -> End:
        """Take steps until the end; returns how it came."""
        self.meter.start()
        self.grace.expect(self.learner.expected_step_seconds)
        self.ending.look_at_clock(self.state.seconds)  # a resumed run has used up some of its time
        if self.ending.time_gone >= 1:
            return "time_limit"
        if self.evaluator.due(self.state.step, over=self._over) and not self._evaluate(metrics):
            return "interrupted"  # as it was, perhaps, when this step was first done
        while not self._over:
            started, first = time.monotonic(), self.reader.next_sequence
            result = self._step()
            if isinstance(result, BadLoss):
                self._roll_back(result)
            self.state.step_seconds += time.monotonic() - started
            self.meter.mark(self._tokens, self.state)
            done = self.state.step
            if isinstance(result, BadLoss):
                if metrics is not None:
                    metrics.go_back(done)
                continue
            self.grace.step(time.monotonic() - started)
            if result is not None and metrics is not None and self._logged:
                batches = self._expected()
                left = batches * self.training.batch_tokens - self._tokens
                metrics.write(self.meter.line(self.state, result, self.reader, first, left), self.pace.steps(batches))
            end = self.ending.due(self.state.seconds, last=self._over)
            scored = end is None and self.evaluator.due(done, over=self._over)
            if end or scored or self._over or done % self.training.checkpoint_every == 0:
                self._checkpoint()
            if end is not None:
                return end
            if scored and not self._evaluate(metrics):
                return "interrupted"
        return "finished"

    def _step(self) -> StepFigures | BadLoss | None:
        """One batch: gradients, judgement, update. Nothing was learned from a bad one; none: the batch was skipped."""
        batch, pieces = self._next()
        if self.state.step in self.state.skipped_steps:
            self._consume(batch)
            return None
        ids = self.reader.batch_ids(batch, self.ranks.rank, self.ranks.world_size)
        windows = self.feed.take(ids)
        self.learner.begin_step(self._done, self._expected())
        nats = self.learner.gradients(windows.device, ids, batch, pieces)
        norm_here = self.learner.clip()
        scored_here = int((windows.host[:, 1:] != IGNORE).sum())
        self._read_ahead(batch)
        # the one time in a step that a GPU is waited for: all of them are looked at together, before its update
        total, scored, norm = self.ranks.sum([nats, scored_here, norm_here if self.ranks.is_first else 0.0])
        loss = total / scored  # a packed row that ends early has targets that are none
        bad = self.guard.judge(loss, norm, self._stage(batch))
        if bad is not None:
            self.learner.discard_gradients()
            return bad
        factor = self.learner.update(self._done, self._expected(), batch / self.batch)
        self.state.learned(batch, self.meter.flops(batch, pieces))
        self._consume(batch)
        load = self.learner.expert_load if self._logged else None
        rate = self.training.optimizer.learning_rate * factor
        return StepFigures(loss, rate, norm, None if load is None else load.max_over_mean)

    def _read_ahead(self, batch: int) -> None:
        """Read what comes after the batch at hand, while a GPU is at work on it."""
        done = self.reader.next_sequence + batch
        if done < self.pace.sequences:
            following = self.pace.next_batch(done, self._expected())
            self.feed.expect(self.reader.batch_ids(following, self.ranks.rank, self.ranks.world_size, later=batch))

    @property
    def _logged(self) -> bool:
        """Whether the step just done has a line in the metrics."""
        return self.state.step % self.training.log_every == 0 or self._over

    @property
    def _over(self) -> bool:
        return self.reader.next_sequence >= self.pace.sequences

    @property
    def _done(self) -> float:
        """What is consumed, in whole batches."""
        return self.reader.next_sequence / self.batch

    @property
    def _tokens(self) -> int:
        """That are consumed."""
        return self.reader.next_sequence * self.config.model.context

    def _expected(self) -> float:
        """Whole batches that the run will have come to."""
        return steps_in_time(self._done, self.steps, self.ending.time_gone)

    def _next(self) -> tuple[int, int]:
        """The next batch's sequences, and the pieces that each is cut into."""
        done, expected = self.reader.next_sequence, self._expected()
        return self.pace.next_batch(done, expected), self.pace.pieces(done, expected)

    def _consume(self, batch: int) -> None:
        self.reader.advance(batch)
        self.state.step += 1
        self.state.reader = self.reader.state_dict()
        self.meter.tick(self.state)

    def _stage(self, batch: int) -> tuple[int, int]:
        """Epoch and stage that the next batch ends in."""
        place = self.reader.locate(self.reader.next_sequence + batch - 1)
        return place.epoch, place.stage

    def _roll_back(self, bad: BadLoss) -> None:
        self.state = self.roll_back.before(bad, self.state, self.learner, self.reader, self._next()[0])
        self.guard = LossGuard(self.training.jump_factor, self.state.recent_losses, self.state.recent_stage)

    def _checkpoint(self) -> None:
        started = time.monotonic()
        self.meter.tick(self.state)
        self.lock.renew()
        self.state.recent_stage = self.guard.stage
        self.checkpoints.write(self.learner, self.state)
        self.ranks.barrier()  # the others may not say that there is one before it is there
        self.stop.can_go_on = True
        self.grace.checkpoint(time.monotonic() - started)

    def _evaluate(self, metrics: MetricsLog | None) -> bool:
        """Score the run on its way, after its checkpoint; False where a signal came first."""
        try:
            evaluated = self.evaluator.on_the_way()
        except EvaluationStoppedError:
            return False
        self.state.best = better(self.state.best, self.state.step, evaluated.mean_loss())
        if metrics is not None:
            metrics.write_evaluation(self.state.step, evaluated)
        return True

    def _end(self, end: End) -> RunSummary:
        evaluated = None
        try:
            self.learner.begin_step(1, 1)  # whatever the last step had of it, what is evaluated is the whole model
            evaluated = None if end == "interrupted" else self.evaluator.at_end()
        except EvaluationStoppedError:
            end = "interrupted"
        if end == "interrupted":
            log.info("stopped by a signal after step %d; start again to go on from there", self.state.step)
        self.meter.tick(self.state)
        summary = summarise(self.meter, self.state, end, evaluated, self.reader, self.teachers)
        summary = leave_outcome(self.out, summary, self.learner, self.ranks)
        log.info("%s after %d steps in %s", end, self.state.step, duration(self.state.seconds))
        return summary


def _check(config: RunConfig, reader: SequenceReader, ranks: Ranks) -> None:
    check_vocabulary(config.model.vocab_size, reader.tokenizer)
    check_abilities(ranks.device, config.training.precision)
    batch = config.training.smallest_batch(config.model.context)
    if ranks.world_size > batch:
        first = " at first (training.schedule.batch_divisors)" if config.training.schedule.batch_divisors else ""
        raise ConfigError(
            f"--nproc-per-node: {ranks.world_size} ranks, but a batch holds {batch} sequences{first} "
            f"(training.batch_tokens {config.training.batch_tokens} / model.context {config.model.context}); start "
            "fewer ranks"
        )
