"""The block that closes a run on the terminal: what came of it, where it is, and what to do next.

In: the store as the profile sees it, the run's id, the names of its assets. Out: lines, each behind a heading. All of
it is read from manifests, so every process that ends a run can say it, whichever process built what.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final

from pipeline.assets.training import ModelSummary
from pipeline.base.numbers import duration, figure, short, with_error
from pipeline.evaluation.lm_eval.gold_answers import ANSWER_BITS, ANSWER_MARGIN
from pipeline.evaluation.scores.scorecard import Row, read_scorecard
from pipeline.reporting.served import REPORT_FILE
from pipeline.store import Store
from trainer.run.figures.summary import RunSummary

WIDTH: Final = 12
"""Of the headings' column."""
TASK_WIDTH: Final = 18
"""Of the column of what was scored."""
MOST_BUILT: Final = 6
"""Assets that were built and are named; more of them are counted."""
COMPRESSOR: Final = "xz -9e"
CHANCE: Final = "guessing"
BITS_PER_BYTE: Final = "bits_per_byte"
ACCURACY: Final = "acc"


def ending(store: Store, run_id: str, assets: Collection[tuple[str, ...]], profile: str = "") -> list[str]:
    """The closing lines of a run that succeeded.

    assets: keys of its assets, whatever stands before their names. profile: how commands name it, where they must.
    """
    names = {key[-1] for key in assets}
    lines: list[tuple[str, str]] = []
    if "scorecard" in names and (card := store.find_current("scorecard")) is not None:
        lines += _scores(read_scorecard(card.path).rows)
    if names & {"model", "scorecard"} and (model := store.find_current("model")) is not None:
        lines += _training(model.summary_as(ModelSummary).run)
    lines.append(("assets", _assets(store, run_id, len(assets))))
    if store.footing is not None and store.footing.behind:
        said = f"another run of {store.profile} made its {store.footing.behind} current: this one's are kept beside it"
        lines.append(("not current", said))
    if "report" in names and (report := store.find_current("report")) is not None:
        lines.append(("report", (report.path / REPORT_FILE).as_uri()))
    lines.append(("next", " · ".join(_next(names, profile))))
    return [f"  {heading:<{WIDTH}}{text}".rstrip() for heading, text in lines]


def _scores(rows: Collection[Row]) -> Iterator[tuple[str, str]]:
    """Each text's bits per byte beside a compressor's, and each benchmark beside guessing, with its right answers."""
    texts = [row for row in rows if row.metric == BITS_PER_BYTE and "/" not in row.task]
    benchmarks = [row for row in rows if row.metric == ACCURACY]
    answers = {(row.suite, row.task, row.metric): row for row in rows if row.metric in (ANSWER_BITS, ANSWER_MARGIN)}
    for heading, group, beside in (("bits/byte", texts, COMPRESSOR), ("accuracy", benchmarks, CHANCE)):
        for place, row in enumerate(group):
            other = next((item.value for item in row.comparisons if item.name == beside), None)
            words = f"{row.task:<{TASK_WIDTH}} {with_error(row.value, row.stderr, digits=3)}"
            words += f"   {beside} {other:.3f}" if other is not None else ""
            bits, margin = (answers.get((row.suite, row.task, metric)) for metric in (ANSWER_BITS, ANSWER_MARGIN))
            if group is benchmarks and bits is not None:
                words += f"   right answers {with_error(bits.value, bits.stderr, digits=3)} bits/byte"
            if group is benchmarks and margin is not None:
                words += f", margin {with_error(margin.value, margin.stderr, digits=3)}"
            yield "" if place else heading, words


def _training(run: RunSummary) -> Iterator[tuple[str, str]]:
    yield (
        "model",
        f"{figure(run.parameters.total)} parameters, {short(run.tokens)} training tokens in {figure(run.steps)} steps",
    )
    cost = f"cost {figure(run.cost)}" if run.cost is not None else "no price an hour is set"
    yield (
        "training",
        f"{duration(run.seconds)} on {run.world_size} x {run.device}, {figure(round(run.tokens_per_second))} tokens/s, "
        f"{figure(run.device_hours)} device hours, {cost}",
    )


def _assets(store: Store, run_id: str, count: int) -> str:
    """What this run built, and how much of the rest was there."""
    own = store.footing.own if store.footing is not None else {}
    made = [item for key, fingerprint in sorted(own.items()) if (item := store.get(key, fingerprint)) is not None]
    built = [item.key for item in made if item.manifest.built.run_id == run_id]
    reused = max(count - len(built), 0)
    return ", ".join(
        words
        for words in (
            (f"{len(built)} built" if len(built) > MOST_BUILT else f"built {', '.join(built)}")
            if built
            else "none built",
            f"{reused} reused" if reused else "",
        )
        if words
    )


def _next(names: Collection[str], profile: str) -> Iterator[str]:
    """The commands that one most likely wants now."""
    option = f" --profile {profile}" if profile else ""
    variable = f"SQUEEZE_PROFILE={profile} " if profile else ""
    if "model" in names or "scorecard" in names:
        yield f'squeeze generate{option} "Once upon a time"'
    else:
        yield f"{variable}dagster job execute -j full_train"
    if "scorecard" in names:
        yield f"squeeze report{option}"
    yield f"{variable}dagster dev"
