"""The study's report: CSV files, pictures and markdown, out of whatever arms are finished.

In: the arms' summaries, or the CSV files themselves, and the speeds measured apart. Out, in one folder: `runs.csv`,
`curves.csv`, `effects.csv`, PNGs. The markdown goes between two marks of a page, so that what people write around it
stays. An arm without runs is shown as not run.
"""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pipeline.base.errors import StudyError
from pipeline.reporting.decorating import decorating
from pipeline.study.report.answers import SQUEEZED, answers
from pipeline.study.results.benchmark_spread import Spread, bits_spread, spreads
from pipeline.study.results.effects import (
    Differences,
    Effect,
    begin_alike,
    by_arm,
    effects,
    tuned_baseline,
)
from pipeline.study.results.intervals import interval, shown
from pipeline.study.results.runs_table import CURVES_FILE, FINISHED, RUNS_FILE, Run, write_csv, write_runs
from pipeline.study.settings import POOLED, StudySettings

log = logging.getLogger(__name__)

REPORT_VERSION: Final = "3"
EFFECTS_FILE: Final = "effects.csv"
MOST_CURVES: Final = 8
BEGIN: Final = "<!-- made by squeeze study: begin -->"
END: Final = "<!-- made by squeeze study: end -->"
IDEAS: Final = (
    "initialisation",
    "4n attention projection",
    "SwiGLU",
    "mixture of experts",
    "RoPE",
    "dropout",
    "learning rate x3",
    "epochs",
    "shuffling every epoch",
    "mixture of corpora",
    "children's books first",
    "tokenizer",
    "evaluation",
)
"""The thirteen, in their order."""


@dataclass(frozen=True)
class ReportSummary:
    """What the report holds."""

    content_hash: str
    arms: int
    finished: int
    runs: int
    effects: list[dict[str, Any]]
    markdown: str


def build_report(runs: Sequence[Run], speed: Mapping[str, float], study: StudySettings, out: Path) -> ReportSummary:
    """Write the CSV files and pictures of the runs to `out`."""
    from pipeline.study.report.pictures import pictures

    write_runs(runs, out)
    found = effects(runs, speed, study)
    rows = [effect_row(item) for item in found]
    columns = dict.fromkeys(name for row in rows for name in row)  # an arm that diverged has none of the corpora's
    write_csv(out / EFFECTS_FILE, list(columns) or ["arm"], rows)
    drawn: dict[str, bytes] = {}
    with decorating(log, "the study's report has no pictures, which cannot be drawn"):
        drawn = pictures(runs, found, curve_arms(runs, study))
    for name, png in drawn.items():
        (out / f"{name}.png").write_bytes(png)
    files = b"".join((out / name).read_bytes() for name in (RUNS_FILE, CURVES_FILE, EFFECTS_FILE))
    finished = len({run.arm for run in runs})
    text = markdown(runs, found, speed, study)
    return ReportSummary(hashlib.sha256(files).hexdigest(), len(study.arms), finished, len(runs), rows, text)


def effect_row(item: Effect) -> dict[str, Any]:
    """An effect as a row of `effects.csv`."""
    plain = ("arm", "idea", "title", "against", "seeds", "reference_seeds", "paired", "diverged", "parameters", "flops")
    row: dict[str, Any] = {name: getattr(item, name) for name in (*plain, "tokens_per_second")}
    row |= {"bits_per_byte": item.bits_per_byte, "verdict": item.verdict}
    row |= _difference_columns(item.pooled, "")
    row["most_share_of_tokens_to_reach_reference"] = _finite(max(item.reach.values(), default=math.inf))
    for corpus, found in item.corpora.items():
        row |= _difference_columns(found, f":{corpus}")
    return row


def curve_arms(runs: Sequence[Run], study: StudySettings) -> list[str]:
    """Arms whose curves are drawn: the baseline, the tuned one, and those that belong to no single idea."""
    several = (name for name, arm in study.arms.items() if not arm.idea and not arm.against)
    chosen = [study.baseline, tuned_baseline(runs, study) or study.baseline, *several]
    there = by_arm(runs)
    return [name for name in dict.fromkeys(chosen) if name in there][:MOST_CURVES]


def markdown(runs: Sequence[Run], found: Sequence[Effect], speed: Mapping[str, float], study: StudySettings) -> str:
    """Everything the page shows: answers, the thirteen ideas, all arms, what they cost, what has not run."""
    missing = [name for name in study.arms if name not in by_arm(runs)]
    parts = [
        "### The questions",
        answers(runs, speed, study),
        "### The thirteen ideas",
        _ideas(runs, found, study),
        "### Every arm",
        _all_arms(runs, found, study),
        "### By corpus, at the end",
        _corpora(found),
        "### Costs",
        _costs(runs, speed, study),
        *_benchmarks(runs, study),
        "### Not run",
        (", ".join(f"`{name}`" for name in missing) + ".") if missing else "Every arm has run.",
    ]
    return "\n\n".join(part for part in parts if part)


def _spreads(runs: Sequence[Run], study: StudySettings) -> list[Spread]:
    known = SQUEEZED in study.arms
    together = known and begin_alike(study, SQUEEZED, study.baseline)
    return spreads(runs, SQUEEZED, study.baseline, together=together)


def _benchmarks(runs: Sequence[Run], study: StudySettings) -> list[str]:
    rows = _spreads(runs, study)
    if not rows:
        return []
    head = ["benchmark", "items", "all runs", "lowest arm", "highest arm", "spread over seeds", "by chance"]
    head += ["told apart", f"`{SQUEEZED}` minus `{study.baseline}`"]
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for row in rows:
        ends = [f"`{name}` {value:.3f}" for name, value in (row.lowest, row.highest)]
        numbers = [_points(row.over_seeds), _points(row.by_chance), _points(row.told_apart), shown(row.difference)]
        lines.append(
            f"| {' | '.join([f'{row.task} {row.metric}', str(row.items), f'{row.mean:.3f}', *ends, *numbers])} |"
        )
    lines += [
        "",
        "*Spread over seeds*: one standard deviation within an arm, pooled over all arms. *By chance*: one standard "
        "error of a share of so many items. *Told apart*: the smallest difference of two arms' means over three seeds "
        "that is twice its standard error, on these items; another draw of items moves both arms, and their difference "
        "by more.",
    ]
    return ["### Benchmarks over seeds", "\n".join(lines)]


def _points(share: float | None) -> str:
    return "-" if share is None else f"{share:.3f}"


def write_page(page: Path, text: str) -> None:
    """Put the markdown between the page's two marks. Raises StudyError where the page has none."""
    content = page.read_text(encoding="utf-8")
    before, begin, rest = content.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise StudyError(f"{page}: the marks {BEGIN!r} and {END!r} are missing; put them where the tables belong")
    page.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")


def _ideas(runs: Sequence[Run], found: Sequence[Effect], study: StudySettings) -> str:
    lines = [
        "| | idea | bits per byte at the end, against the reference | verdict at this size |",
        "|---|---|---|---|",
    ]
    for number, idea in enumerate(IDEAS, start=1):
        own = [item for item in found if item.idea == number]
        if number == len(IDEAS):
            lines.append(f"| {number} | {idea} | {_spread(runs, study)} | {_told_apart(runs, study)} |")
            continue
        listed = [name for name, arm in study.arms.items() if arm.idea == number]
        cells = [f"{item.title}: {shown(item.pooled.at_end)}" + _against(item, study) for item in own]
        words = [f"{item.title}: {item.verdict}" for item in own] or ["not run" if listed else "no arm"]
        lines.append(f"| {number} | {idea} | {'; '.join(cells) or '-'} | {'; '.join(words)} |")
    return "\n".join(lines)


def _spread(runs: Sequence[Run], study: StudySettings) -> str:
    """One standard deviation over seeds, of bits per byte and of every benchmark."""
    bits = bits_spread(runs, POOLED)
    if bits is None:
        return "no arm has two seeds"
    shares = [f"{row.task} {_points(row.over_seeds)}" for row in _spreads(runs, study)]
    said = f"spread over seeds: bits per byte {bits[0]:.4f} pooled, {bits[1]:.4f} in the middle arm"
    return ", ".join([said, *shares])


def _told_apart(runs: Sequence[Run], study: StudySettings) -> str:
    """How many benchmarks tell the recipe from the baseline."""
    rows = [row for row in _spreads(runs, study) if row.difference and row.difference.values > 1]
    if not rows:
        return "no benchmark has been scored on both"
    sure = [row.task for row in rows if row.tells_apart]
    named = f" ({', '.join(sure)})" if sure else ""
    return f"{len(sure)} of {len(rows)} benchmarks tell `{SQUEEZED}` from `{study.baseline}` on these items{named}"


def _against(item: Effect, study: StudySettings) -> str:
    return f" (against `{item.against}`)" if item.against != study.baseline else ""


def _all_arms(runs: Sequence[Run], found: Sequence[Effect], study: StudySettings) -> str:
    head = ["arm", "what", "seeds", "parameters", "tokens", "bits/byte", "against", "at the end"]
    head += ["equal tokens", "equal FLOPs", "equal time", "verdict"]
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    base = [run for run in runs if run.arm == study.baseline and run.state == FINISHED]
    if base:
        spread = interval([run.scores[POOLED] for run in base])
        size, tokens = f"{base[0].parameters:,}", f"{base[0].tokens:,}"
        cells = [f"`{study.baseline}`", base[0].title, str(len(base)), size, tokens, f"{spread.mean:.4f}", *("",) * 6]
        lines.append(f"| {' | '.join(cells)} |")
    ends = {name: group[0].tokens for name, group in by_arm(runs).items()}
    for item in found:
        value = "-" if item.bits_per_byte is None else f"{item.bits_per_byte:.4f}"
        cells = [f"`{item.arm}`", item.title, item.runs_compared, f"{item.parameters:,}", f"{ends[item.arm]:,}", value]
        cells += [f"`{item.against}`", *map(shown, item.pooled), item.verdict]
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        "*Seeds*: `3` are pairs of runs of one seed that begin with the same weights; `3/5` are three runs against "
        "five. *Bits/byte* is the mean over all of an arm's runs: where pairs are fewer, the means differ by a little "
        "more or less than the pairs do.",
    ]
    return "\n".join(lines)


def _corpora(found: Sequence[Effect]) -> str:
    """Differences at the end; at equal tokens, FLOPs and time they are in `effects.csv`."""
    names = list(dict.fromkeys(name for item in found for name in item.corpora))
    if not names:
        return ""
    lines = [f"| arm | {' | '.join(names)} |", "|---|" + "---|" * len(names)]
    for item in found:
        if item.corpora:
            ends = [shown(item.corpora[name].at_end if name in item.corpora else None) for name in names]
            lines.append(f"| `{item.arm}` | {' | '.join(ends)} |")
    return "\n".join(lines)


def _costs(runs: Sequence[Run], speed: Mapping[str, float], study: StudySettings) -> str:
    """Size, FLOPs and speed; arms that cost the same share a row."""
    base = speed.get(study.baseline)
    groups: dict[tuple[int, int, int, float, float | None], list[str]] = {}
    for name, (run, *_) in by_arm(runs).items():
        sizes = (run.parameters, run.embedding_parameters, run.active_parameters)
        groups.setdefault((*sizes, run.flops_per_token, speed.get(name)), []).append(f"`{name}`")
    head = ["arms", "parameters", "in embeddings", "active for a token", "FLOPs a token", "tokens/s, one thread"]
    head.append("of the baseline's")
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for (parameters, embedding, active, flops, rate), names in groups.items():
        counts = " | ".join(f"{size:,}" for size in (parameters, embedding, active))
        speeds = f"{rate:,.0f}" if rate else "-", f"{rate / base:.2f}" if rate and base else "-"
        lines.append(f"| {', '.join(names)} | {counts} | {flops / 1e6:.2f}M | {' | '.join(speeds)} |")
    return "\n".join(lines)


def _difference_columns(found: Differences, ending: str) -> dict[str, float | None]:
    columns: dict[str, float | None] = {}
    for name, item in found._asdict().items():
        ends = (None, None, None) if item is None else (item.mean, _finite(item.low), _finite(item.high))
        columns |= dict(zip((f"{name}{ending}", f"{name}_low{ending}", f"{name}_high{ending}"), ends, strict=True))
    return columns


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
