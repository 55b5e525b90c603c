"""The study's results as rows, and their CSV files: all that figures and verdicts are drawn from.

`runs.csv` has a row a run (arm and seed), `curves.csv` a row a point of its curve, `speed.csv` a row an arm. Numbers
are written in full, so that reading a file back gives the values that were written.
"""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter

from pipeline.base.errors import StudyError
from pipeline.base.files import write_text
from pipeline.study.results.design import Design
from pipeline.study.results.run_result import POOLED, RunResult

RUNS_FILE: Final = "runs.csv"
CURVES_FILE: Final = "curves.csv"
SPEED_FILE: Final = "speed.csv"
SCORE: Final = "bits_per_byte:"
BENCHMARK: Final = "benchmark:"


@dataclass(frozen=True)
class Run:
    """One finished run of one arm at one seed."""

    arm: str
    idea: int
    title: str
    against: str
    seed: int
    state: str
    """`finished`, or `diverged` with no scores."""
    vocab_size: int
    parameters: int
    embedding_parameters: int
    active_parameters: int
    tokens: int
    bytes_per_token: float
    flops_per_token: float
    tokens_per_cpu_second: float | None
    """Of the run itself, beside whatever else ran: `speed.csv` is what arms are compared by."""
    scores: dict[str, float] = field(default_factory=dict)
    """Bits per byte at the end, by corpus, and of the whole sample (`all`)."""
    curves: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    """(tokens, bits per byte of the curve's sample), by corpus as `scores`."""
    benchmarks: dict[str, float] = field(default_factory=dict)
    """Shares of right answers at the end, `hellaswag:acc_norm`, and how many `hellaswag:items` they are of."""

    @property
    def curve(self) -> list[tuple[int, float]]:
        """Of the whole sample; empty for a run that diverged."""
        return self.curves.get(POOLED, [])


_RUN: Final = TypeAdapter(Run)
_PLAIN: Final = [item.name for item in dataclasses.fields(Run) if item.name not in ("scores", "curves", "benchmarks")]


def collect(design: Design, results: Mapping[str, Mapping[int, RunResult]]) -> list[Run]:
    """Rows of what the finished runs found, by arm and seed; in the study's order."""
    return [_row(design, name, seed, result) for name in design.arms for seed, result in results.get(name, {}).items()]


def _row(design: Design, name: str, seed: int, result: RunResult) -> Run:
    arm = design.arms[name]
    return Run(
        arm=name,
        idea=arm.idea,
        title=arm.title,
        against=arm.against,
        seed=seed,
        state=result.state,
        vocab_size=result.vocab_size,
        parameters=result.parameters["total"],
        embedding_parameters=result.parameters["embedding"],
        active_parameters=result.parameters["active"],
        tokens=result.tokens,
        bytes_per_token=float(result.bytes_per_token),
        flops_per_token=float(result.flops_per_token),
        tokens_per_cpu_second=result.tokens_per_second,
        scores=dict(result.bits_per_byte),
        curves={
            corpus: [(int(point["tokens"]), point[corpus]) for point in result.curve]
            for corpus in result.bits_per_byte
            if result.curve and corpus in result.curve[0]
        },
        benchmarks={
            f"{task}:{metric}": float(value)
            for task, values in (result.benchmarks or {}).items()
            for metric, value in values.items()
            if not metric.endswith("_stderr")
        },
    )


def write_runs(runs: Sequence[Run], folder: Path) -> None:
    """Write `runs.csv` and `curves.csv`."""
    corpora = sorted({name for run in runs for name in run.scores}, key=lambda name: (name != POOLED, name))
    scores = [f"{SCORE}{name}" for name in corpora]
    shares = sorted({name for run in runs for name in run.benchmarks})
    rows = [
        {name: getattr(run, name) for name in _PLAIN}
        | {f"{SCORE}{name}": run.scores.get(name) for name in corpora}
        | {f"{BENCHMARK}{name}": run.benchmarks.get(name) for name in shares}
        for run in runs
    ]
    columns = [*_PLAIN, *scores, *(f"{BENCHMARK}{name}" for name in shares)]
    write_csv(folder / RUNS_FILE, columns, rows)
    points = []
    for run in runs:
        on_the_way: dict[int, dict[str, float]] = {}
        for name, curve in run.curves.items():
            for tokens, value in curve:
                on_the_way.setdefault(tokens, {})[f"{SCORE}{name}"] = value
        points += [{"arm": run.arm, "seed": run.seed, "tokens": at} | values for at, values in on_the_way.items()]
    write_csv(folder / CURVES_FILE, ["arm", "seed", "tokens", *scores], points)


def read_runs(folder: Path) -> list[Run]:
    """Read what `write_runs` wrote. Raises StudyError for a file that is missing or has other columns."""
    curves: dict[tuple[str, int], dict[str, list[tuple[int, float]]]] = {}
    for row in read_csv(folder / CURVES_FILE):
        of_run = curves.setdefault((row["arm"], int(row["seed"])), {})
        for name, value in _numbers(row, SCORE).items():
            of_run.setdefault(name, []).append((int(row["tokens"]), value))
    try:
        return [
            _RUN.validate_python(
                {name: row[name] or None for name in _PLAIN}  # nothing stands for none
                | {"scores": _numbers(row, SCORE), "benchmarks": _numbers(row, BENCHMARK)}
                | {"curves": curves.get((row["arm"], int(row["seed"])), {})}
            )
            for row in read_csv(folder / RUNS_FILE)
        ]
    except (KeyError, ValueError) as error:
        raise StudyError(f"{folder / RUNS_FILE}: not a table of runs ({error!r}); export the study again") from None


def _numbers(row: Mapping[str, str], prefix: str) -> dict[str, float]:
    return {key.removeprefix(prefix): float(value) for key, value in row.items() if key.startswith(prefix) and value}


def read_speed(path: Path) -> dict[str, float]:
    """Tokens a second by arm, from a `speed.csv`; empty where there is none."""
    if not path.exists():
        return {}
    return {row["arm"]: float(row["tokens_per_second"]) for row in read_csv(path)}


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Rows under a header, nothing for None."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def read_csv(path: Path) -> list[dict[str, str]]:
    """Rows as text by column. Raises StudyError where there is no such file."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    except OSError as error:
        raise StudyError(f"{path}: cannot be read ({error.strerror}); run `squeeze study export`") from None
