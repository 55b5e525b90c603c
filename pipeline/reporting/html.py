"""One self-contained HTML page about a model: no scripts, no other files, readable for as long as browsers are.

In: `Facts`. Out: the page as text, the same for the same facts. Everything from outside is escaped.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any, Final

from pipeline.base.numbers import short, with_error
from pipeline.evaluation.suites.length import LengthDetails
from pipeline.evaluation.suites.samples import SamplesDetails
from pipeline.reporting.facts import Facts, Lineage
from pipeline.reporting.plots.length import length_png
from pipeline.reporting.plots.loss import loss_curve_png
from pipeline.reporting.plots.mixture import mixture_png
from pipeline.reporting.plots.scores import scores_png
from pipeline.reporting.plots.tokenizers import tokenizer_png
from pipeline.reporting.plots.waterfall import waterfall_png
from pipeline.reporting.scores import comparison_words, plottable
from pipeline.reporting.tables import columns_of, shown
from trainer.run.summary import RunSummary

SHORT: Final = 24
STYLE: Final = """
:root { color-scheme: light; --ink: #1f2937; --soft: #6b7280; --line: #e5e7eb; --accent: #2563eb; }
* { box-sizing: border-box; }
body { font: 15px/1.55 system-ui, sans-serif; color: var(--ink); max-width: 980px; margin: 0 auto; padding: 32px 24px; }
h1 { font-size: 27px; margin: 0 0 2px; } h2 { font-size: 19px; margin: 40px 0 10px; }
h3 { font-size: 15px; margin: 20px 0 6px; } .soft { color: var(--soft); } img { max-width: 100%; height: auto; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(138px, 1fr)); gap: 10px; margin: 22px 0; }
.tile { border: 1px solid var(--line); border-radius: 8px; padding: 10px 12px; }
.tile b { display: block; font-size: 19px; } .tile span { color: var(--soft); font-size: 12.5px; line-height: 1.4; }
.tile span { display: inline-block; overflow-wrap: anywhere; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: 13.5px; margin: 8px 0 14px; }
th { text-align: left; font-weight: 600; color: var(--soft); border-bottom: 1px solid #9ca3af; }
th { padding: 4px 12px 4px 0; }
td { border-bottom: 1px solid var(--line); padding: 4px 12px 4px 0; vertical-align: top; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; } td.n, td.s { white-space: nowrap; }
th { vertical-align: bottom; }
pre, code { font: 12.5px/1.5 ui-monospace, monospace; } pre { background: #f9fafb; padding: 12px; overflow-x: auto; }
blockquote { margin: 8px 0; padding: 6px 14px; border-left: 3px solid var(--line); white-space: pre-wrap; }
blockquote b { color: var(--accent); font-weight: 600; } summary { cursor: pointer; color: var(--accent); }
"""


def report_html(facts: Facts) -> str:
    """The page."""
    sections = [*_head(facts), *_scores(facts), *_training(facts), *_data(facts), *_samples(facts), *_lineage(facts)]
    body = "\n".join(sections)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(facts.name)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head>\n'
        f"<body>\n{body}\n</body></html>\n"
    )


def _head(facts: Facts) -> Iterator[str]:
    yield f"<h1>{escape(facts.name)}</h1>"
    yield f'<div class="soft">model <code>{facts.fingerprint[:12]}</code></div>'
    run = facts.run
    if run is None:
        return
    tiles = [
        (_short(run.parameters.total), f"parameters, {_short(run.parameters.embedding)} of them embeddings"),
        (_short(run.tokens), f"tokens in {shown(run.steps)} steps"),
        (_short(run.flops), "floating point operations"),
        (_time(run.seconds), f"on {shown(run.world_size)} × {run.device}"),
        (shown(run.tokens_per_second), "tokens a second"),
        _cost(run),
    ]
    yield (
        '<div class="tiles">'
        + "".join(f'<div class="tile"><b>{escape(big)}</b><span>{escape(small)}</span></div>' for big, small in tiles)
        + "</div>"
    )


def _cost(run: RunSummary) -> tuple[str, str]:
    if run.cost is not None:
        return shown(run.cost), f"cost of {shown(run.device_hours)} device hours"
    return shown(run.device_hours), "device hours; no price an hour was given, so no cost is known"


def _scores(facts: Facts) -> Iterator[str]:
    card = facts.scorecard
    if card is None or not card.rows:
        return
    yield "<h2>Scores</h2>"
    yield (
        '<p class="soft">Each score with one standard error. Within noise: a difference that chance alone gives at '
        "least one time in twenty. An earlier model of this store is compared item by item, a published number by the "
        "two standard errors.</p>"
    )
    kinds = {name: result.kind for name, result in facts.suites.items()}
    bits = [row for row in card.rows if kinds.get(row.suite) == "bits_per_byte" and "/" not in row.task]
    shares = [row for row in card.rows if row.metric in ("acc", "acc_norm")]
    for title, rows in (("Bits per byte of held-out text, lower is better", bits), ("Benchmarks", shares)):
        if rows:
            yield f"<h3>{title}</h3>{_image(scores_png(plottable(rows)), title)}"
    for result in facts.suites.values():
        if lines := result.details.table():
            yield _table(lines)
    others = [row for row in card.rows if kinds.get(row.suite) not in ("bits_per_byte", "length_extrapolation")]
    yield _table(
        [
            {
                "task": row.task,
                "metric": row.metric,
                "score": with_error(row.value, row.stderr),
                "items": row.count,
                "shots": row.shots,
                "beside": "\n".join(comparison_words(item) for item in row.comparisons),
            }
            for row in others
        ]
    )
    for note in card.notes:
        yield f'<p class="soft">{escape(note)}</p>'
    for result in facts.suites.values():
        if isinstance(result.details, LengthDetails):
            picture = length_png(result.details.curves, result.details.trained_context)
            yield f"<h3>Past the trained context</h3>{_image(picture, 'loss by position')}"


def _training(facts: Facts) -> Iterator[str]:
    yield "<h2>Training</h2>"
    if facts.metrics:
        validation = {name: score.loss for name, score in facts.run.validation.items()} if facts.run else {}
        yield _image(loss_curve_png(facts.metrics, validation), "training loss")
    if facts.run is not None and facts.run.choices:
        yield "<h3>Multiple choice at the end of training</h3>"
        yield _table(
            [
                {
                    "task": task,
                    "items": score.items,
                    "acc": with_error(score.acc, score.acc_stderr),
                    "acc_norm": with_error(score.acc_norm, score.acc_norm_stderr),
                }
                for task, score in facts.run.choices.items()
            ]
        )
    if facts.stages:
        yield f"<h3>What it read, in order</h3>{_image(mixture_png(facts.stages), 'mixture')}"
    for heading, settings in facts.settings.items():
        if isinstance(settings, Mapping):
            yield f"<details><summary>Settings: {escape(heading)}</summary>{_settings(settings)}</details>"


def _data(facts: Facts) -> Iterator[str]:
    if facts.corpora:
        yield "<h2>Data</h2>"
        yield _table(
            [
                {
                    "corpus": name,
                    "documents fetched": steps[0]["documents"] if steps else None,
                    "trained on": steps[-1]["documents"] if steps else None,
                    "bytes": steps[-1]["bytes"] if steps else None,
                    "held out": facts.heldout.get(name, {}).get("documents"),
                    "held-out bytes": facts.heldout.get(name, {}).get("bytes"),
                }
                for name, steps in facts.corpora.items()
            ]
        )
        for name, steps in facts.corpora.items():
            picture = waterfall_png([(step["step"], step["documents"]) for step in steps]) if steps else b""
            if picture:
                yield f"<details><summary>{escape(name)}: what each step left</summary>"
                yield f"{_image(picture, name)}</details>"
    if facts.tokenizers:
        yield "<h2>Tokenizer</h2>"
        yield _image(tokenizer_png(facts.tokenizers, chosen=facts.tokenizer), "bytes a token")


def _samples(facts: Facts) -> Iterator[str]:
    for result in facts.suites.values():
        details = result.details
        if not isinstance(details, SamplesDetails):
            continue
        yield "<h2>Samples</h2>"
        yield (
            f'<p class="soft">Fixed prompts and seeds, temperature {details.temperature}, top-p '
            f"{details.top_p}; nothing is chosen.</p>"
        )
        heading = None
        for sample in details.samples:
            if sample.heading != heading:
                heading = sample.heading
                yield f"<h3>{escape(heading)}</h3>"
            yield f"<blockquote><b>{escape(sample.prompt)}</b>{escape(sample.text)}</blockquote>"


def _lineage(facts: Facts) -> Iterator[str]:
    if not facts.lineage:
        return
    yield "<h2>Lineage</h2>"
    yield '<p class="soft">Everything behind this model, by content; an artifact is unfolded once.</p>'
    yield f"<pre>{escape(chr(10).join(lineage_tree(facts.lineage)))}</pre>"


def lineage_tree(lineage: Sequence[Lineage]) -> list[str]:
    """The ancestry as lines of a tree, from the first artifact down."""
    by_fingerprint = {item.fingerprint: item for item in lineage}
    lines: list[str] = []
    seen: set[str] = set()

    def walk(key: str, fingerprint: str, prefix: str, joint: str) -> None:
        item = by_fingerprint.get(fingerprint)
        again = fingerprint in seen
        seen.add(fingerprint)
        mark = f"{item.fingerprint[:12]}  content {item.content_hash[:12]}" if item else "(gone)"
        lines.append(f"{prefix}{joint}{key}  {'…' if again else mark}")
        if item is None or again:
            return
        below = prefix + {"": "", "├─ ": "│  ", "└─ ": "   "}[joint]
        for number, parent in enumerate(item.inputs):
            walk(*parent, below, "└─ " if number == len(item.inputs) - 1 else "├─ ")

    if lineage:
        walk(lineage[0].key, lineage[0].fingerprint, "", "")
    return lines


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return ""
    names = columns_of(rows)
    right = {name: all(isinstance(row.get(name), int | float | None) for row in rows) for name in names}
    head = "".join(f"<th{_right(right[name])}>{escape(name)}</th>" for name in names)
    lines = [
        "<tr>"
        + "".join(f"<td{_class(row.get(name), right[name])}>{_cell(row.get(name))}</td>" for name in names)
        + "</tr>"
        for row in rows
    ]
    return f'<div class="wide"><table><tr>{head}</tr>{"".join(lines)}</table></div>'


def _settings(settings: Mapping[str, Any]) -> str:
    return _table([{"setting": key, "value": str(value)} for key, value in sorted(settings.items())])


def _cell(value: Any) -> str:
    return escape(shown(value)).replace("\n", "<br>")


def _right(right: bool) -> str:
    return ' class="n"' if right else ""


def _class(value: Any, right: bool) -> str:
    """Numbers to the right; what is short stays on one line, so that `1.99 ± 0.02` is not torn."""
    return _right(right) or (' class="s"' if len(str(value)) <= SHORT else "")


def _image(png: bytes, alt: str) -> str:
    return f'<img alt="{escape(alt)}" src="data:image/png;base64,{base64.b64encode(png).decode("ascii")}">'


def _short(value: Any) -> str:
    return short(value) if isinstance(value, int | float) else "—"


def _time(seconds: float) -> str:
    minutes = seconds / 60
    return f"{minutes / 60:.1f} h" if minutes >= 90 else f"{minutes:.1f} min"
