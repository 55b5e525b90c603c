"""One self-contained HTML page about a model: no scripts, no other files, readable for as long as browsers are.

In: `Facts`. Out: the page as text, the same for the same facts. What stands where is in `templates/report.html.j2`;
this module makes the pictures and tables that it places.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from pipeline.base.numbers import figure, minutes_or_hours, short, with_error
from pipeline.evaluation.lm_eval.gold_answers import ANSWER_BITS, ANSWER_MARGIN
from pipeline.evaluation.suites.few_shot import FewShotDetails
from pipeline.evaluation.suites.length import LengthDetails
from pipeline.evaluation.suites.samples import SamplesDetails
from pipeline.reporting.facts import Facts
from pipeline.reporting.lineage import lineage_tree
from pipeline.reporting.plots.length import length_png
from pipeline.reporting.plots.loss import loss_curve_png
from pipeline.reporting.plots.mixture import mixture_png
from pipeline.reporting.plots.scores import scores_png
from pipeline.reporting.plots.shots import shots_png
from pipeline.reporting.plots.tokenizers import tokenizer_png
from pipeline.reporting.plots.waterfall import waterfall_png
from pipeline.reporting.scores import best_beside, headline, not_possible_rows, plottable, score_name, score_rows
from pipeline.reporting.tables import grid_of
from trainer.run.figures.summary import RunSummary

if TYPE_CHECKING:
    from jinja2 import Template
    from markupsafe import Markup

MOST_UNBROKEN: Final = 24
"""Letters of a cell that stays on one line, so that `1.99 ± 0.02` is not torn."""


def report_html(facts: Facts) -> str:
    """The page."""
    corpora = list(facts.corpora)
    details = [result.details for result in facts.suites.values()]
    validation = {name: score.loss for name, score in facts.run.validation.items()} if facts.run else {}
    return _template().render(
        facts=facts,
        tiles=list(_tiles(facts)),
        score_pictures=list(_score_pictures(facts)),
        score_tables=list(_score_tables(facts)),
        not_possible=not_possible_rows(facts.scorecard) if facts.scorecard is not None else [],
        length_pictures=[length_png(it.curves, it.trained_context) for it in details if isinstance(it, LengthDetails)],
        shots_pictures=[
            shots_png(curves) for it in details if isinstance(it, FewShotDetails) for curves in it.by_unit().values()
        ],
        loss_picture=loss_curve_png(facts.metrics, validation, corpora) if facts.metrics else None,
        choices=list(_choices(facts.run)) if facts.run else [],
        mixture_picture=mixture_png(facts.stages, corpora=corpora) if facts.stages else None,
        settings=[
            (heading, [{"setting": key, "value": str(value)} for key, value in sorted(settings.items())])
            for heading, settings in facts.settings.items()
            if isinstance(settings, Mapping)
        ],
        corpora=list(_corpora(facts)),
        waterfalls=[
            (name, waterfall_png([(step.step, step.documents) for step in steps]))
            for name, steps in facts.corpora.items()
            if steps
        ],
        tokenizer_picture=tokenizer_png(facts.tokenizers, chosen=facts.tokenizer) if facts.tokenizers else None,
        samples=[it for it in details if isinstance(it, SamplesDetails)],
        lineage=lineage_tree(facts.lineage),
    )


@cache
def _template() -> Template:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("pipeline.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"data_uri": _data_uri, "grid": grid_of, "cell_class": _cell_class, "lines": _lines}
    return environment.get_template("report.html.j2")


def _tiles(facts: Facts) -> Iterator[tuple[str, str]]:
    """The model in a few large figures, each with a few words."""
    if facts.scorecard is not None and (row := headline(facts.scorecard.rows)) is not None:
        best = best_beside(row)
        beside = f"; {best.name} {best.value:.3f}" if best else ""
        yield with_error(row.value, row.stderr, digits=3), f"{score_name(row)}{beside}"
    if facts.run is not None:
        yield from _run_tiles(facts.run)
    if facts.built is not None:
        yield facts.built.at[:10], f"finished at {facts.built.at[11:16]} UTC, profile {facts.built.profile}"
        commit, _, changes = (facts.built.git_commit or "no").partition("+")
        torch = facts.built.libraries.get("torch", "of an unknown version")
        yield commit[:9], f"commit of the code{', with changes since' if changes else ''}; torch {torch}"


def _run_tiles(run: RunSummary) -> Iterator[tuple[str, str]]:
    yield short(run.parameters.total), f"parameters, {short(run.parameters.embedding)} of them embeddings"
    yield short(run.tokens), f"tokens in {figure(run.steps)} steps"
    yield short(run.flops), "floating point operations"
    yield minutes_or_hours(run.seconds), f"on the machine, {figure(run.world_size)} × {run.device}"
    yield figure(run.tokens_per_second), "tokens a second"
    hours = figure(run.device_hours)
    if run.cost is not None:
        yield figure(run.cost), f"cost of {hours} device hours"
    else:
        yield hours, "device hours; no price an hour was given, so no cost is known"


def _score_pictures(facts: Facts) -> Iterator[tuple[str, bytes]]:
    rows = facts.scorecard.rows if facts.scorecard is not None else ()
    texts = {name for name, result in facts.suites.items() if result.kind == "bits_per_byte"}
    groups = {
        "Bits per byte of held-out text, lower is better": [
            row for row in rows if row.suite in texts and "/" not in row.task
        ],
        "Benchmarks": [row for row in rows if row.metric in ("acc", "acc_norm")],
        "Bits per byte of benchmarks' right answers, lower is better": [
            row for row in rows if row.metric == ANSWER_BITS
        ],
        "Bits per byte by which the likeliest wrong answer is behind the right one, higher is better": [
            row for row in rows if row.metric == ANSWER_MARGIN
        ],
    }
    for title, group in groups.items():
        if group:
            yield title, scores_png(plottable(group))


def _score_tables(facts: Facts) -> Iterator[list[dict[str, Any]]]:
    """The suites' own tables, then every score that has neither a table nor a picture of its own."""
    tables = {name: result.details.table() for name, result in facts.suites.items()}
    yield from (rows for rows in tables.values() if rows)
    pictured = {name for name, result in facts.suites.items() if isinstance(result.details, LengthDetails)}
    rows = facts.scorecard.rows if facts.scorecard is not None else ()
    if others := [row for row in rows if row.suite not in pictured and not tables.get(row.suite)]:
        yield score_rows(others)


def _choices(run: RunSummary) -> Iterator[dict[str, Any]]:
    for task, score in run.choices.items():
        bits, margin = score.answer_bits_per_byte, score.answer_margin
        yield {
            "task": task,
            "items": score.items,
            "acc": with_error(score.acc, score.acc_stderr),
            "acc_norm": with_error(score.acc_norm, score.acc_norm_stderr),
            "answers, bits/byte": None if bits is None else with_error(bits, score.answer_bits_per_byte_stderr),
            "margin": None if margin is None else with_error(margin, score.answer_margin_stderr),
        }


def _corpora(facts: Facts) -> Iterator[dict[str, Any]]:
    for name, steps in facts.corpora.items():
        heldout = facts.heldout.get(name)
        yield {
            "corpus": name,
            "documents fetched": steps[0].documents if steps else None,
            "trained on": steps[-1].documents if steps else None,
            "bytes": steps[-1].bytes if steps else None,
            "held out": heldout and heldout.documents,
            "held-out bytes": heldout and heldout.bytes,
        } | ({"masked": _masked(facts.masks.get(name, {}))} if any(facts.masks.values()) else {})


def _masked(masks: Mapping[str, int]) -> str | None:
    """Such as `e-mail addresses 12, IP addresses 3`."""
    return ", ".join(f"{category} {figure(count)}" for category, count in masks.items()) or None


def _data_uri(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"


def _cell_class(text: str, right: bool) -> Markup:
    """Numbers to the right; short text unbroken."""
    from markupsafe import Markup

    return Markup(' class="n"' if right else ' class="s"' if len(text) <= MOST_UNBROKEN else "")


def _lines(text: str) -> Markup:
    """Text with its line breaks kept."""
    from markupsafe import Markup

    return Markup("<br>").join(text.split("\n"))
