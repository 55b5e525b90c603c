"""One run of an arm at one seed, in a process of its own: `python -m pipeline.study.runs.seed_process FOLDER`.

In: `FOLDER/seed.json`, written by `pipeline.study.runs.seeds`. Out: `FOLDER/result.json`, once the run is trained and
scored. The trainer leaves a checkpoint at every point of the curve; each is then scored by the code of the suite
`bits_per_byte`. Called again after it was stopped, training goes on from its newest checkpoint and scoring from its
last score. A run whose loss is no longer finite is a result, not an error.

Exit status as the trainer's: 75 for a stop by a signal, 2 for settings that cannot work, 1 for any other error.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import shutil
import sys
import time
from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pipeline.base.files import files_below, write_json, write_text
from pipeline.base.finished import finish, is_finished
from pipeline.study.data import CURVE, FINAL
from pipeline.study.results.run_result import DIVERGED, FINISHED, POOLED, RunResult
from pipeline.study.settings import Budget
from trainer.config import RunConfig
from trainer.errors import DivergedError, TrainerError
from trainer.process.signals import EXIT_UNFINISHED, StopRequest, die_with_parent
from trainer.run.figures.summary import RunSummary, read_summary
from trainer.run.folder import CONFIG_FILE, EMA_FILE, METRICS_FILE, MODEL_FILE

if TYPE_CHECKING:
    from pipeline.evaluation.loading import Scorer

SEED_FILE: Final = "seed.json"
RESULT_FILE: Final = "result.json"
SCORES_FILE: Final = "scores.json"
ERROR_FILE: Final = "error.txt"
POINTS: Final = "points"
"""Folder of a run with a folder for each point of its curve whose weights stay, named by its tokens."""
WEIGHTS: Final = (CONFIG_FILE, MODEL_FILE, EMA_FILE)
"""Files that a model is loaded from; a teacher is known by its summary too."""
SCORE_TOKENS: Final = 8192
EXIT_ERROR: Final = 2

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class SeedTask:
    """What one run needs."""

    model: dict[str, Any]
    """Settings of the model; `vocab_size` is replaced by the tokenizer's."""
    training: dict[str, Any]
    budget: dict[str, Any]
    points: int
    epochs: list[Path]
    """The `shards.json` of each."""
    tokenizer: Path
    heldout: Path
    """Folder of the sample."""
    apart: list[str] = dataclasses.field(default_factory=list)
    """Corpora left out of the pooled score."""
    benchmarks: dict[str, Path] = dataclasses.field(default_factory=dict)
    """Files of multiple-choice items by task, in the format of `trainer.scoring.choices`."""
    keeps: list[str] = dataclasses.field(default_factory=list)
    """Files of the run's end that stay when its others are removed."""
    keeps_points: int = 0
    """How many of the curve's last points before the end keep their weights, in `POINTS`."""
    teachers: list[Path] = dataclasses.field(default_factory=list)
    """Folders of the finished runs that it learns from."""

    @property
    def files(self) -> list[Path]:
        """All that it reads: what has to be on a machine that it is to run on."""
        folders = [*(epoch.parent for epoch in self.epochs), self.tokenizer, self.heldout, *self.teachers]
        return [*self.benchmarks.values(), *(file for folder in folders for file in files_below(folder))]

    def write(self, file: Path) -> None:
        """Leave it for the process that runs it."""
        write_text(file, json.dumps(dataclasses.asdict(self), default=str, indent=1))

    @classmethod
    def read(cls, file: Path) -> SeedTask:
        """One that was left so."""
        values = json.loads(file.read_text(encoding="utf-8"))
        for name in ("epochs", "teachers"):
            values[name] = list(map(Path, values[name]))
        for name in ("tokenizer", "heldout"):
            values[name] = Path(values[name])
        values["benchmarks"] = {task: Path(items) for task, items in values["benchmarks"].items()}
        return cls(**values)


def run(folder: Path, task: SeedTask, stop: StopRequest) -> RunResult | None:
    """Train and score; returns the result, or none where a signal asked to stop.

    Raises TrainerError for settings that do not fit the data, SqueezeError for a tokenizer that cannot be scored.
    """
    from pipeline.tokenization import load_tokenizer
    from trainer.config import DataConfig, TrainingConfig
    from trainer.model.config import ModelConfig
    from trainer.run.checkpoints.checkpoint import read_state
    from trainer.run.folder import CHECKPOINTS, sorted_checkpoints, step_of

    tokenizer = load_tokenizer(task.tokenizer)
    model = dataclasses.replace(ModelConfig.from_dict(task.model), vocab_size=tokenizer.vocab_size)
    training = TrainingConfig.from_dict(task.training)
    steps, facts = _steps(model, training, task)
    every = max(1, math.ceil(steps / task.points))
    training = dataclasses.replace(
        training,
        max_steps=steps,
        checkpoint_every=every,
        keep_checkpoints=steps,
        log_every=max(1, steps // 50),
    )
    data = DataConfig(epochs=tuple(map(str, task.epochs)), teachers=tuple(map(str, task.teachers)))
    config = RunConfig(model=model, training=training, data=data, out=str(folder))
    begun = time.process_time()
    try:
        summary = _train(config, stop)
    except DivergedError as error:
        return RunResult(**facts, state=DIVERGED, message=str(error))
    if summary.interrupted:
        return None
    cpu_seconds = time.process_time() - begun
    whole = not summary.resumed_from
    score = partial(_score, folder, context=model.context, tokenizer=tokenizer, task=task)
    curve = []
    places = []
    for place in sorted_checkpoints(folder / CHECKPOINTS):
        step = step_of(place)
        if stop:
            return None
        if step % every == 0 and step < summary.steps:  # others were left by an interruption
            tokens = (read_state(place)[0].sequences or 0) * model.context
            curve.append({"tokens": tokens, **score(place, part=CURVE)})
            places.append((tokens, place))
    for tokens, place in places[-task.keeps_points :] if task.keeps_points else ():
        _keep(folder, place, folder / POINTS / str(tokens))
    curve.append({"tokens": summary.tokens, **score(folder, part=CURVE)})
    ends = score(folder, part=FINAL)
    if not all(map(math.isfinite, ends.values())):
        return RunResult(**facts, state=DIVERGED, message="scores of the weights at the end are not finite")
    if task.teachers:
        facts["flops_per_token"] = summary.whole_flops / summary.tokens
    return RunResult(
        **facts | {"steps": summary.steps, "tokens": summary.tokens},
        state=FINISHED,
        curve=curve,
        benchmarks=_benchmarks(folder, config, task),
        bits_per_byte=ends,
        final_train_loss=summary.final_train_loss,
        seconds=summary.seconds if whole else None,
        cpu_seconds=cpu_seconds if whole else None,
        tokens_per_second=summary.tokens / cpu_seconds if whole else None,
    )


def _keep(run: Path, checkpoint: Path, to: Path) -> None:
    """Copy what a model is loaded from: a checkpoint's weights, and the configuration of its run."""
    to.mkdir(parents=True, exist_ok=True)
    for source in (run / CONFIG_FILE, checkpoint / MODEL_FILE, checkpoint / EMA_FILE):
        if source.exists():
            shutil.copyfile(source, to / source.name)


def _steps(model: Any, training: Any, task: SeedTask) -> tuple[int, dict[str, Any]]:
    """Steps that the budget pays for, and the run's figures that do not depend on training."""
    from trainer.data.reader import SequenceReader
    from trainer.errors import ConfigError
    from trainer.model import shape_of

    reader = SequenceReader(task.epochs, model.context)
    shape = shape_of(model)
    flops = shape.flops_per_token()
    steps = Budget(**task.budget).steps(training.batch_tokens, flops, reader.bytes_per_token)
    there = reader.steps(training.sequences_per_batch(model.context))
    if not 0 < steps <= there:
        raise ConfigError(
            f"the budget pays for {steps:,} steps of {training.batch_tokens:,} tokens, the data holds {there:,}; "
            "change the arm's budget, or study.data's tokens"
        )
    facts = {
        "parameters": shape.parameter_counts(),
        "flops_per_token": flops,
        "bytes_per_token": reader.bytes_per_token,
        "vocab_size": model.vocab_size,
        "steps": steps,
        "tokens": steps * training.batch_tokens,
    }
    return steps, facts


def _train(config: RunConfig, stop: StopRequest) -> RunSummary:
    """The trainer, unless an earlier call of this process's folder has finished it already."""
    from trainer.process.ranks import join_ranks
    from trainer.run.loop import train

    summary = read_summary(Path(config.out))
    if summary is not None and summary.state == "finished":
        return dataclasses.replace(summary, resumed_from=[*summary.resumed_from, summary.steps])
    return train(config, join_ranks(config.training.device), stop)


def _score(folder: Path, weights: Path, context: int, tokenizer: Any, task: SeedTask, part: str) -> dict[str, float]:
    """Bits per byte of every corpus's sample and of the pooled one, from `scores.json` where it is there already."""
    from pipeline.evaluation.loading import Scorer
    from trainer.run.trained_model import load_model

    file = folder / SCORES_FILE
    known: dict[str, dict[str, float]] = json.loads(file.read_text()) if is_finished(file) else {}
    name = f"{part}/{weights.name if weights != folder else 'end'}"
    if name not in known:
        scorer = Scorer(load_model(weights), tokenizer, context)
        known[name] = score_sample(scorer, task.heldout / part, task.apart)
        write_json(file, known)
        finish(file)
    return known[name]


def score_sample(scorer: Scorer, sample: Path, apart: Collection[str]) -> dict[str, float]:
    """Bits per byte of every corpus of a held-out sample's part, and of those that are not `apart` as one text."""
    from pipeline.evaluation.heldout import read_heldout
    from pipeline.evaluation.suites.scored_documents import score_corpus

    bits, sizes = {}, {}
    for place in sorted(sample.iterdir()):
        documents = score_corpus(scorer, read_heldout(place.name, place), SCORE_TOKENS)
        bits[place.name] = float(documents.nats_text.sum()) / math.log(2)
        sizes[place.name] = documents.heldout.total_bytes
    pooled = [corpus for corpus in bits if corpus not in apart]
    scores = {corpus: bits[corpus] / sizes[corpus] for corpus in bits}
    return scores | {POOLED: sum(bits[corpus] for corpus in pooled) / sum(sizes[corpus] for corpus in pooled)}


def _benchmarks(folder: Path, config: Any, task: SeedTask) -> dict[str, dict[str, float]]:
    """Shares of right answers at the end, by task."""
    from trainer.config import ChoiceData
    from trainer.data.reader import SequenceReader
    from trainer.process.ranks import join_ranks
    from trainer.run.trained_model import load_model
    from trainer.scoring.choices import read_choices, score_choices

    if not task.benchmarks:
        return {}
    tokenizer = SequenceReader(task.epochs, config.model.context).tokenizer
    files = [ChoiceData(name, str(path)) for name, path in sorted(task.benchmarks.items())]
    sets = read_choices(files, tokenizer, config.model.context)
    scores = score_choices(load_model(folder), sets, context=config.model.context, ranks=join_ranks("cpu"))
    return {task: dataclasses.asdict(score) for task, score in scores.items()}


def main(arguments: Sequence[str]) -> int:
    """Run the folder's task; returns the exit status, and leaves an error's message in `error.txt`."""
    from pipeline.base.errors import SqueezeError

    folder = Path(arguments[0])
    die_with_parent()
    stop = StopRequest()
    stop.install()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s")
    (folder / ERROR_FILE).unlink(missing_ok=True)
    task = SeedTask.read(folder / SEED_FILE)
    try:
        result = run(folder, task, stop)
    except (SqueezeError, TrainerError) as error:
        write_text(folder / ERROR_FILE, str(error))
        return EXIT_ERROR
    if result is None:
        return EXIT_UNFINISHED
    write_json(folder / RESULT_FILE, result.to_json())
    finish(folder / RESULT_FILE, *(folder / name for name in (SCORES_FILE, METRICS_FILE)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
