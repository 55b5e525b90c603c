"""A training run from its first step, or from its newest checkpoint, to its summary.

In: a `RunConfig`. Out, in the folder `out`:

    config.json  run.json  model.safetensors  [ema.safetensors]  summary.json  metrics.jsonl  [evaluations.jsonl]
    checkpoints/

What always holds: every rank takes the same decisions, because each depends on numbers reduced over all ranks; the
state counts a batch once the optimizer has consumed it; whatever ends a run, starting it again with the same settings
goes on from the newest checkpoint and ends with the same weights, to the bit on the same ranks.

`summary.json` exists only once a run has ended in order, and says how in `state`: `finished`, `time_limit`
(training.max_minutes) or `interrupted` (a signal came: not the end of the training).
"""

from __future__ import annotations

import logging
import os
import shutil
import time
from pathlib import Path
from typing import Any

import torch

from trainer.config import RunConfig
from trainer.data.reader import SequenceReader
from trainer.errors import CheckpointError, ConfigError, TrainerError
from trainer.model.loss import IGNORE
from trainer.numbers import duration
from trainer.optim.schedule import steps_in_time
from trainer.process.ranks import Ranks
from trainer.process.signals import GRACE_SECONDS, StopRequest
from trainer.run.checkpoint import (
    BEST_FILE,
    CONFIG_FILE,
    EMA_FILE,
    MODEL_FILE,
    RunState,
    model_tensors,
    newest_checkpoint,
    read_best,
    read_state,
    save_tensors,
    step_of,
    write_json,
)
from trainer.run.learner import Learner
from trainer.run.lock import only_writer
from trainer.run.loss_guard import MOST_ROLL_BACKS, LossGuard
from trainer.run.meter import RunMeter, summarise
from trainer.run.metrics import MetricsLog
from trainer.run.resume import check_same_run
from trainer.run.retention import Retention
from trainer.scoring.choices import ChoiceSet, read_choices, score_choices
from trainer.scoring.evaluation import Evaluation
from trainer.scoring.validation import HeldoutSet, mean_loss, read_heldout, score

log = logging.getLogger(__name__)

SUMMARY_FILE = "summary.json"
RUN_FILE = "run.json"


def train(config: RunConfig, ranks: Ranks, stop: StopRequest) -> dict[str, Any]:
    """Train to the end, or until `stop`; returns the summary, with this rank's own clock and memory.

    Raises a `TrainerError` for settings that do not fit the shards, ranks or checkpoints, and for a bad loss where
    `training.on_bad_loss` says so.
    """
    out = Path(config.out)
    epochs = [Path(path) for path in config.data.epochs]
    reader = SequenceReader(epochs, config.model.context, packed=config.data.packed)
    _check(config, reader, ranks)
    heldout = read_heldout(config.data.validation, reader.tokenizer)
    choices = read_choices(config.data.choices, reader.tokenizer, config.model.context)
    with only_writer(out, ranks):
        return _Run(config, ranks, stop, reader, heldout, choices).go()


class _Run:
    """The state of one call of `train`."""

    def __init__(
        self,
        config: RunConfig,
        ranks: Ranks,
        stop: StopRequest,
        reader: SequenceReader,
        heldout: list[HeldoutSet],
        choices: list[ChoiceSet],
    ) -> None:
        self.config, self.training, self.ranks, self.stop = config, config.training, ranks, stop
        self.reader, self.heldout, self.choices = reader, heldout, choices
        self.out = Path(config.out)
        self.checkpoints = self.out / "checkpoints"
        self.retention = Retention(self.checkpoints, self.training.keep_checkpoints)
        self.batch = self.training.sequences_per_batch(config.model.context)
        whole = reader.steps(self.batch)
        self.steps = min(whole, self.training.max_steps or whole)
        self.roll_backs = 0
        place = self._newest()
        self.learner = Learner(config, ranks, reader.tokenizer.eot_id)
        micro_batch = self.training.micro_batch
        if place is not None:
            state, model = read_state(place)
            check_same_run(place, state, model, config, reader, self.steps)
            if micro_batch is None and state.world_size == ranks.world_size:
                micro_batch = state.micro_batch
        self.learner.warm_up(micro_batch)
        self.state = RunState(reader=reader.state_dict(), training=self.training.identity(), steps=self.steps)
        if place is not None:
            self._load(place)
            self.state.resumed_from.append(self.state.step)
            log.info("going on from %s", place)
        self.time_gone = 0.0
        self.guard = LossGuard(self.training.jump_factor, self.state.recent_losses)
        self.meter = RunMeter(config, ranks, reader.bytes_per_token, self.learner.model)

    def go(self) -> dict[str, Any]:
        if self.ranks.is_first:
            (self.out / SUMMARY_FILE).unlink(missing_ok=True)
            write_json(self.out / CONFIG_FILE, self.config.model.to_dict())
            # relative to this folder, so that the run can be read wherever the folder is moved to
            relative = self.config.with_paths(lambda path: os.path.relpath(path, self.out))
            write_json(self.out / RUN_FILE, relative.to_dict())
            log.info("%s", self.meter.headline(self.steps, self.learner.micro_batch))
        metrics = MetricsLog(self.out, self.training, self.state.step) if self.ranks.is_first else None
        if self.training.on_bad_loss == "roll_back" and self.state.step == 0:
            self._checkpoint()
        try:
            ended = self._steps(metrics)
        finally:
            if metrics is not None:
                metrics.close()
        return self._end(ended)

    def _steps(self, metrics: MetricsLog | None) -> str:
        """Take steps until the end; returns the state for the summary."""
        self.meter.start(self.state)
        self.stop.grace_seconds = GRACE_SECONDS
        (self.time_gone,) = self.ranks.sum([self._share_of_time()])  # a resumed run has used up some
        while self.state.step < self.steps:
            started, rolled_back = time.monotonic(), self.roll_backs
            values = self._step()
            self.state.step_seconds += time.monotonic() - started
            self.meter.mark(self.state)
            done = self.state.step
            if self.roll_backs > rolled_back:
                if metrics is not None:
                    metrics.go_back(done)
                continue
            if (
                values is not None
                and metrics is not None
                and (done % self.training.log_every == 0 or done == self.steps)
            ):
                steps = steps_in_time(done, self.steps, self.time_gone)
                metrics.write(self.meter.values(self.state, values, self.reader, self.batch, steps), steps)
            evaluated = self._evaluate_at(done)
            if evaluated is not None and metrics is not None:
                metrics.write_evaluation(done, evaluated)
            stop, out_of_time = self._agree_on_stopping()
            if done < self.steps and (evaluated or stop or out_of_time or done % self.training.checkpoint_every == 0):
                self._checkpoint(evaluated)
            if stop and done < self.steps:
                return "interrupted"
            if out_of_time:
                return "time_limit"
        return "finished"

    def _step(self) -> dict[str, float] | None:
        """One batch: gradients, judgement, update. None where the batch was skipped or a roll-back came instead."""
        step = self.state.step
        if step in self.state.skipped_steps:
            self._consume()
            return None
        ids = self.reader.batch_ids(self.batch, self.ranks.rank, self.ranks.world_size)
        windows = torch.from_numpy(self.reader.read(ids))
        own = self.learner.gradients(windows, ids)
        total, scored = self.ranks.sum([own, int((windows[:, 1:] != IGNORE).sum())])
        loss = total / scored  # a packed row that ends early has targets that are none
        norm = self.learner.clip()
        complaint = self.guard.complaint(loss, norm)
        if complaint is not None:
            self.learner.discard_gradients()
            self._bad_batch(complaint)
            return None
        factor = self.learner.update(step, steps_in_time(step, self.steps, self.time_gone))
        self.state.updates += 1
        self._consume()
        values = {"loss": loss, "lr": self.training.learning_rate * factor, "grad_norm": norm}
        if self.learner.expert_imbalance is not None:
            values["expert_imbalance"] = self.learner.expert_imbalance
        return values

    def _consume(self) -> None:
        self.reader.advance(self.batch)
        self.state.step += 1
        self.state.reader = self.reader.state_dict()
        self.meter.tick(self.state)

    def _bad_batch(self, complaint: str) -> None:
        """Stop with an error, or go back to the last checkpoint with this step among those to skip."""
        first = self.reader.next_sequence
        place = self.reader.locate(first)
        where = (
            f"step {self.state.step + 1}, sequences {first} to {first + self.batch - 1} of the run "
            f"(epoch {place.epoch}, stage {place.stage_name}): {complaint}"
        )
        if self.training.on_bad_loss == "stop":
            raise TrainerError(
                f"{where}. Lower training.learning_rate, or set training.on_bad_loss to roll_back, which skips the "
                "batch; the last checkpoint is kept"
            )
        self.roll_backs += 1
        if self.roll_backs > MOST_ROLL_BACKS:
            raise TrainerError(f"{where}. Rolled back {MOST_ROLL_BACKS} times already; lower training.learning_rate")
        self.ranks.sum([0.0])  # the first rank may still be writing the checkpoint
        try:
            checkpoint = self._newest()
        except CheckpointError as error:
            raise CheckpointError(f"{where}. {error}") from None
        if checkpoint is None:
            raise TrainerError(f"{where}. There is no checkpoint left to go back to")
        skipped = [*self.state.skipped_steps, self.state.step]
        log.warning("%s; going back to %s and skipping that batch", where, checkpoint.name)
        spent = (self.state.seconds, self.state.step_seconds, self.state.device_seconds)
        self._load(checkpoint)
        self.state.seconds, self.state.step_seconds, self.state.device_seconds = spent
        self.state.skipped_steps = skipped
        self.guard.recent = self.state.recent_losses

    def _load(self, place: Path) -> None:
        self.state, _ = read_state(place)
        self.learner.load(place, self.state)
        self.reader.load_state_dict(self.state.reader)

    def _newest(self) -> Path | None:
        """The newest checkpoint that can be used, chosen by the first rank for all; none where there is none at all.

        Raises `CheckpointError` where there are some and none can be used. The others then wait for the first rank's
        choice until its end ends them: the message that is left is the one with the reasons.
        """
        place = newest_checkpoint(self.checkpoints) if self.ranks.is_first else None
        step = int(self.ranks.sum([step_of(place) + 1 if place else 0])[0]) - 1
        if step < 0:
            return None
        place = self.checkpoints / f"step_{step:08d}"
        if not place.exists():
            raise CheckpointError(f"{place}: not visible from rank {self.ranks.rank}; `out` must be a folder all share")
        return place

    def _checkpoint(self, evaluated: Evaluation | None = None) -> None:
        self.meter.tick(self.state)
        if not self.ranks.is_first:
            return
        place = self.learner.save(self.checkpoints, self.state)
        if evaluated and evaluated.validation:
            loss, best = mean_loss(evaluated.validation), read_best(self.checkpoints)
            if best is None or loss < best["loss"]:
                write_json(self.checkpoints / "best.json", {"step": self.state.step, "loss": loss})
        self.retention.remove_old(place)

    def _keep_best(self) -> dict[str, Any] | None:
        """Put the weights that evaluated best during the run beside the final ones, as they were evaluated."""
        best = read_best(self.checkpoints)
        if best is not None:
            place = self.checkpoints / f"step_{best['step']:08d}"
            averaged = place / EMA_FILE
            shutil.copyfile(averaged if averaged.exists() else place / MODEL_FILE, self.out / BEST_FILE)
        return best

    def _evaluate_at(self, step: int) -> Evaluation | None:
        every = self.training.evaluate_every
        if every is None or step % every or step == self.steps:
            return None
        return self._evaluate(self.training.evaluate_tokens, self.training.evaluate_items)

    def _evaluate(self, most_tokens: int | None, most_items: int | None) -> Evaluation | None:
        """None where there is nothing to score."""
        if not (self.heldout or self.choices):
            return None
        model, context = self.learner.model, self.config.model.context
        with self.learner.averaged_weights():
            result = Evaluation(
                validation=score(
                    model,
                    [item.first_tokens(most_tokens) for item in self.heldout],
                    eot_id=self.reader.tokenizer.eot_id,
                    context=context,
                    ranks=self.ranks,
                ),
                choices=score_choices(
                    model, [item.first_items(most_items) for item in self.choices], context=context, ranks=self.ranks
                ),
            )
        for line in result.lines():
            log.info("%s", line)
        return result

    def _agree_on_stopping(self) -> tuple[bool, bool]:
        """Whether a rank was asked to stop, and whether the time is up."""
        asked, self.time_gone = self.ranks.sum([bool(self.stop), self._share_of_time()])
        return asked > 0, self.time_gone >= 1

    def _share_of_time(self) -> float:
        """The share of `max_minutes` that is gone by the first rank's clock; 0 on the others and without a limit."""
        limit = self.training.max_minutes
        return self.state.seconds / (limit * 60) if self.ranks.is_first and limit is not None else 0.0

    def _end(self, ended: str) -> dict[str, Any]:
        if ended == "interrupted":
            log.info("stopped by a signal after step %d; start again to go on from there", self.state.step)
            evaluated = None
        else:
            evaluated = self._evaluate(self.training.final_evaluate_tokens, None)
        self.meter.tick(self.state)
        summary = summarise(self.meter, self.state, ended, evaluated, self.guard, self.batch)
        if self.ranks.is_first:
            if ended != "interrupted":
                save_tensors(model_tensors(self.learner.model), self.out / MODEL_FILE)
                averages = self.learner.averages()
                if averages is not None:
                    save_tensors(averages, self.out / EMA_FILE)
                summary["best"] = self._keep_best()
                summary["content_hash"] = self.meter.content_hash(self.out)
            write_json(self.out / SUMMARY_FILE, summary)
            log.info("%s after %d steps in %s", ended, self.state.step, duration(self.state.seconds))
        self.ranks.sum([0.0])  # no rank leaves before the files are there
        return summary


def _check(config: RunConfig, reader: SequenceReader, ranks: Ranks) -> None:
    if reader.tokenizer.vocab_size > config.model.vocab_size:
        raise ConfigError(
            f"model.vocab_size is {config.model.vocab_size}, but the shards' tokenizer has "
            f"{reader.tokenizer.vocab_size} tokens; set model.vocab_size to at least that"
        )
    batch = config.training.sequences_per_batch(config.model.context)
    if ranks.world_size > batch:
        raise ConfigError(
            f"--nproc-per-node: {ranks.world_size} ranks, but a batch holds {batch} sequences (training.batch_tokens "
            f"{config.training.batch_tokens} / model.context {config.model.context}); start fewer ranks"
        )
