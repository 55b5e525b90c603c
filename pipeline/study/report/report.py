"""The study's report: CSV files, pictures and markdown, out of whatever arms are finished.

In: the results and the study's ideas and questions. Out, in one folder: `runs.csv`, `curves.csv`, `effects.csv`, PNGs;
and the markdown of the page. An arm without runs is shown as not run.
"""

from __future__ import annotations

import hashlib
import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pipeline.base.files import whole_file
from pipeline.reporting.decorating import decorating
from pipeline.study.report.page import markdown
from pipeline.study.results.effects import Differences, Effect, effects
from pipeline.study.results.results import Results
from pipeline.study.results.runs_table import CURVES_FILE, RUNS_FILE, write_csv, write_runs
from pipeline.study.settings import StudySettings

log = logging.getLogger(__name__)

REPORT_VERSION: Final = "4"
EFFECTS_FILE: Final = "effects.csv"
MOST_CURVES: Final = 8


@dataclass(frozen=True)
class ReportSummary:
    """What the report holds."""

    content_hash: str
    arms: int
    finished: int
    runs: int
    effects: list[dict[str, Any]]
    markdown: str


def build_report(results: Results, study: StudySettings, out: Path) -> ReportSummary:
    """Write the CSV files and pictures of the runs to `out`."""
    from pipeline.study.report.pictures import pictures

    write_runs(results.runs, out)
    of_arms = effects(results)
    rows = [effect_row(item) for item in of_arms]
    columns = dict.fromkeys(name for row in rows for name in row)  # an arm that diverged has none of the corpora's
    write_csv(out / EFFECTS_FILE, list(columns) or ["arm"], rows)
    drawn: dict[str, bytes] = {}
    with decorating(log, "the study's report has no pictures, which cannot be drawn"):
        drawn = pictures(results, of_arms, curve_arms(results))
    for name, png in drawn.items():
        with whole_file(out / f"{name}.png") as file:
            file.write(png)
    files = b"".join((out / name).read_bytes() for name in (RUNS_FILE, CURVES_FILE, EFFECTS_FILE))
    return ReportSummary(
        content_hash=hashlib.sha256(files).hexdigest(),
        arms=len(study.arms),
        finished=len(results.by_arm),
        runs=len(results.runs),
        effects=rows,
        markdown=markdown(results, of_arms, study),
    )


def effect_row(item: Effect) -> dict[str, Any]:
    """An effect as a row of `effects.csv`."""
    plain = ("arm", "idea", "title", "against", "seeds", "reference_seeds", "paired", "diverged", "parameters", "flops")
    row: dict[str, Any] = {name: getattr(item, name) for name in (*plain, "tokens_per_second")}
    row |= {"bits_per_byte": item.bits_per_byte, "verdict": item.verdict}
    row |= {"p": item.pooled.at_end.p if item.pooled.at_end else None, "p_holm": item.holm}
    row |= _difference_columns(item.pooled, "")
    row["most_share_of_tokens_to_reach_reference"] = _finite(max(item.reach.values(), default=math.inf))
    for corpus, differences in item.corpora.items():
        row |= _difference_columns(differences, f":{corpus}")
    return row


def curve_arms(results: Results) -> list[str]:
    """Arms whose curves are drawn: the baseline, the tuned one, and those that belong to no single idea."""
    design = results.design
    several = (name for name, arm in design.arms.items() if arm.lone)
    chosen = [design.baseline, results.tuned_baseline or design.baseline, *several]
    return [name for name in dict.fromkeys(chosen) if name in results.by_arm][:MOST_CURVES]


def _difference_columns(differences: Differences, ending: str) -> dict[str, float | None]:
    columns: dict[str, float | None] = {}
    for name, item in differences._asdict().items():
        ends = (None, None, None) if item is None else (item.mean, _finite(item.low), _finite(item.high))
        columns |= dict(zip((f"{name}{ending}", f"{name}_low{ending}", f"{name}_high{ending}"), ends, strict=True))
    return columns


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
