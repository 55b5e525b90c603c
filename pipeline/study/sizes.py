"""What the study's models cost on a disk: bits per byte against the bytes of a file that holds model and tokenizer.

In: arms whose runs kept their weights. Out: `sizes.csv`, a row a run and number of bits, and a picture of it. Every row
was scored from its file, read back, on the sample that the runs' own scores are of.
"""

from __future__ import annotations

import logging
import statistics
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pipeline.base.errors import StudyError
from pipeline.base.suggestions import did_you_mean
from pipeline.study.data import FINAL, DataSummary
from pipeline.study.plan import ArmPlan, StudyPlan
from pipeline.study.results.run_result import FINISHED, POOLED, RunResult
from pipeline.study.runs.in_bits import file_name, score_in_bits
from pipeline.study.runs.seeds import DATA, HELDOUT, seed_artifacts

if TYPE_CHECKING:
    from pipeline.store import Store

SIZES_FILE: Final = "sizes.csv"
PICTURE_FILE: Final = "sizes.png"
COLUMNS: Final = ("arm", "seed", "parameters", "bits", "bytes", "bits_per_byte")
BITS: Final = (32, 16, 8, 6, 4)

log = logging.getLogger(__name__)


def measure_sizes(
    plan: StudyPlan, store: Store, bits: Sequence[int] = BITS, only: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """A row for every finished run with weights, of the arms named alone where any are, and every number of bits.

    Raises StudyError where there is none, and for an arm that the study has not."""
    for name in only:
        if name not in plan.settings.arms:
            raise StudyError(f"--arm: there is no arm {name!r}{did_you_mean(name, plan.settings.arms)}")
    arms = [plan.arm(name) for name in plan.settings.arms if not only or name in only]
    rows = [row for arm in arms if arm.keep_weights for row in _of_arm(plan, arm, store, bits)]
    if not rows:
        raise StudyError(
            "no finished run has kept its weights: set keep_weights on the arms to measure (study.arms.<arm>), and run "
            "`dagster job execute -j ablations`"
        )
    return rows


def beside(rows: Sequence[dict[str, Any]], known: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Measured rows with those known of other arms, arm by arm as the first of each stood."""
    measured = {row["arm"] for row in rows}
    arms = dict.fromkeys(row["arm"] for row in (*known, *rows))
    return [row for arm in arms for row in (rows if arm in measured else known) if row["arm"] == arm]


def _of_arm(plan: StudyPlan, arm: ArmPlan, store: Store, bits: Sequence[int]) -> Iterator[dict[str, Any]]:
    from trainer.quantize import QuantizeSettings

    for seed, run in seed_artifacts(store, plan, arm).items():
        result = RunResult.read(run.summary)
        if result.state != FINISHED:
            continue
        data = store.input_of(run, f"{DATA}/{arm.data_of(seed)}")
        tokenizer = store.input_of(run, f"tokenizer/{plan.tokenizer_of(arm.data_of(seed))}")
        sample = store.input_of(run, HELDOUT).path / FINAL
        epoch = data.path / data.summary_as(DataSummary).epochs[0]
        for width in bits:
            settings = QuantizeSettings(bits=width)
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder) / file_name("model", width)
                apart = plan.settings.heldout.apart
                figures = score_in_bits(run.path, tokenizer.path, epoch, settings, sample, apart, file)
            score = figures.bits_per_byte[POOLED]
            log.info(f"{arm.name}, seed {seed}: {width} bits, {figures.bytes:,} bytes, {score:.4f} bits per byte")
            values = (arm.name, seed, result.parameters["total"], width, figures.bytes, round(score, 5))
            yield dict(zip(COLUMNS, values, strict=True))


def sizes_png(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Bits per byte against bytes, a line an arm, the mean over seeds; each point has its number of bits."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    from pipeline.reporting.plots.style import COLORS, INK, figure_png, new_figure

    figure, axes = new_figure(7.2, 4.2)
    for number, arm in enumerate(dict.fromkeys(row["arm"] for row in rows)):
        points = []
        for bits in sorted({int(row["bits"]) for row in rows if row["arm"] == arm}):
            there = [row for row in rows if row["arm"] == arm and int(row["bits"]) == bits]
            size = statistics.fmean(float(row["bytes"]) for row in there) / 1e3
            points.append((size, statistics.fmean(float(row["bits_per_byte"]) for row in there), bits))
        color = COLORS[number % len(COLORS)]
        axes.plot(
            [x for x, _, _ in points], [y for _, y, _ in points], color=color, marker="o", markersize=4, label=arm
        )
        for size, score, bits in points:
            axes.annotate(str(bits), (size, score), xytext=(3, 3), textcoords="offset points", fontsize=6.5, color=INK)
    axes.set_xscale("log")
    sizes = [float(row["bytes"]) / 1e3 for row in rows]
    ticks = [step * 10**power for power in range(7) for step in (1, 2, 5)]
    axes.set_xticks([tick for tick in ticks if min(sizes) / 2 < tick < max(sizes) * 2])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("kB of the file, tokenizer included (beside each point: bits a weight)")
    axes.set_ylabel("held-out bits per byte at the end")
    axes.legend(fontsize=8, frameon=False)
    return figure_png(figure)
