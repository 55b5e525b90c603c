"""Signal and noise of a study's metrics as a table, a summary by kind of metric, `signal.csv`, and the rows by which
scorecards say what a score can tell."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from pipeline.evaluation.scores import tells
from pipeline.evaluation.suites.bits_per_byte import ENGLISH
from pipeline.study.report.tables import table
from pipeline.study.results.runs_table import read_csv, write_csv
from pipeline.study.results.signal import ALL_TEXT, BITS, LAST_CHECKPOINTS, LEAST_RATIO, Share, Signal

SIGNAL_FILE: Final = "signal.csv"
COLUMNS: Final = (
    *("of", "metric", "arms", "runs", "mean", "noise", "signal", "ratio", "told_apart"),
    *("verdicts", "of_verdicts", "pairs", "of_pairs", "decisions", "of_decisions", "kept"),
    *("items", "least_parameters", "most_parameters", "checkpoint_noise", "rung", "tokens"),
)
ACCURACY: Final = ("acc", "acc_norm")
KINDS: Final = (
    ("bits per byte of held-out text", (BITS,)),
    ("accuracy", ACCURACY),
    ("bits per byte of right answers", ("answer_bits_per_byte",)),
    ("margin of right answers", ("answer_margin",)),
)
OF_CHECKPOINTS: Final = (
    f"*Of checkpoints*: one standard deviation of a run's last {LAST_CHECKPOINTS} checkpoints about a straight line, "
    "pooled over runs: of held-out text by the smaller sample that is scored on the way. "
)


def marks(profile: str) -> tuple[str, str]:
    """What a page's table of a profile's study stands between."""
    made = f"made by squeeze study signal -p {profile}"
    return f"<!-- {made}: begin -->", f"<!-- {made}: end -->"


def rows_of(found: Sequence[Signal]) -> list[dict[str, Any]]:
    """Rows of `signal.csv`."""
    rows = []
    for item in found:
        figures = (item.mean, item.noise, item.signal, item.ratio, item.told_apart)
        shares = (part for share in (item.verdicts, item.pairs, item.decisions) for part in (share.right, share.of))
        values = (item.group, item.metric, item.arms, item.runs, *map(_plain, figures), *shares, item.kept)
        of_models = (item.items, item.least_parameters, item.most_parameters, item.checkpoint_noise)
        rows.append(dict(zip(COLUMNS, (*values, *of_models, item.rung, item.tokens), strict=True)))
    return rows


def write_known(path: Path, study: str, found: Sequence[Signal]) -> None:
    """Put a study's rows into the table by which scorecards say what a score can tell, in place of those it had there.

    Of held-out text it is all English alone: a study need not have been trained on the other texts it was scored on,
    and a model that was does not spread as its runs do. Of a ladder's lower rungs, those of models of another size.
    """
    others = [row for row in read_csv(path) if row["study"] != study] if path.exists() else []
    rows = [
        {
            "study": study,
            "task": ENGLISH if item.group == ALL_TEXT else item.group,
            "metric": item.metric.replace(" ", "_"),
            "noise": f"{item.noise:.6g}",
            "signal": f"{item.signal:.6g}",
            "pairs": item.pairs.right,
            "of_pairs": item.pairs.of,
        }
        | {name: getattr(item, name) for name in ("items", "arms", "runs", "kept")}
        | {name: getattr(item, name) for name in ("least_parameters", "most_parameters")}
        for item in _of_sizes(found)
        if item.noise is not None and item.signal is not None and (item.metric != BITS or item.group == ALL_TEXT)
    ]
    write_csv(path, tells.COLUMNS, sorted([*others, *rows], key=lambda row: (row["study"], row["task"], row["metric"])))


def _of_sizes(found: Sequence[Signal]) -> list[Signal]:
    """Rows of which none is of the same metric and of models as large as those of a higher rung."""
    taken: list[Signal] = []
    for item in found:
        if not any(
            (item.group, item.metric) == (other.group, other.metric)
            and item.least_parameters <= other.most_parameters
            and other.least_parameters <= item.most_parameters
            for other in taken
        ):
            taken.append(item)
    return taken


def signal_markdown(found: Sequence[Signal]) -> str:
    """A summary by kind of metric of each rung, then a row a metric of the highest that was measured, those with the
    most signal first."""
    by_rung = {rung: list(items) for rung, items in itertools.groupby(found, key=lambda item: item.rung)}
    parts = []
    for items in by_rung.values():
        parts += [*([_caption(items)] if len(by_rung) > 1 else []), _summary(items)]
    return "\n\n".join([*parts, _rows(next(iter(by_rung.values()), []))])


def _caption(items: Sequence[Signal]) -> str:
    least, most = min(item.least_parameters for item in items), max(item.most_parameters for item in items)
    sizes = dict.fromkeys(f"{size / 1e6:.1f}M" for size in (least, most))
    tokens = max(item.tokens for item in items)
    return f"Models of {' to '.join(sizes)} parameters after {tokens:,} tokens:"


def _summary(found: Sequence[Signal]) -> str:
    head = ["what a verdict is read from", "rows", "kept", "signal/noise", "verdicts", "pairs", "decisions"]
    summary = []
    for words, metrics in KINDS:
        items = [item for item in found if item.metric in metrics and not _is_part(item, found)]
        if items:
            ratios = [ratio for item in items if (ratio := item.ratio) is not None]
            middle = f"{statistics.median(ratios):.2f}" if ratios else "-"
            shares = (_together([getattr(item, name) for item in items]) for name in ("verdicts", "pairs", "decisions"))
            kept = f"{sum(item.kept for item in items)}"
            summary.append([words, str(len(items)), kept, middle, *map(_percent, shares)])
    return table(head, summary)


def _rows(found: Sequence[Signal]) -> str:
    checkpoints = any(item.checkpoint_noise is not None for item in found)
    columns = ["of", "metric", "arms", "runs", "mean", "noise", "signal"]
    columns += [*(["of checkpoints"] if checkpoints else []), "signal/noise", "told apart"]
    rows = [
        [
            *(item.group, item.metric, str(item.arms), str(item.runs)),
            *map(_figure, (item.mean, item.noise, item.signal)),
            *([_figure(item.checkpoint_noise)] if checkpoints else []),
            "-" if item.ratio is None else f"{item.ratio:.2f}",
            *(_figure(item.told_apart), str(item.verdicts), str(item.pairs), str(item.decisions)),
            "yes" if item.kept else "no",
        ]
        for item in sorted(found, key=lambda item: -(item.ratio or 0.0))
    ]
    return (
        f"{table([*columns, 'verdicts', 'pairs', 'decisions', 'kept'], rows)}\n\n"
        "*Noise*: one standard deviation over seeds within an arm, pooled. *Signal*: one standard deviation of the "
        "arms' means, without what that noise adds to it. "
        f"{OF_CHECKPOINTS if checkpoints else ''}"
        "*Told apart*: the smallest difference of two arms' means "
        "over three seeds that is twice its standard error. *Verdicts*: arms whose difference from their reference "
        "in bits per byte is significant, and how many of them differ in the same sense by this metric; *pairs*: "
        "the same of all pairs of arms. *Decisions*: single runs of a lower rung that put two recipes in the order "
        f"of the highest rung's bits per byte. *Kept*: at least {LEAST_RATIO:g} times as much signal as noise, a "
        "rule that was set beforehand. The summary leaves out parts of a group, such as one phenomenon of the "
        "minimal pairs."
    )


def _is_part(item: Signal, found: Sequence[Signal]) -> bool:
    """Whether a task is one of a group that is there as well, as `mmlu_anatomy` is of `mmlu`."""
    return any(item.group.startswith(f"{other.group}_") for other in found)


def _together(shares: Sequence[Share]) -> Share:
    return Share(sum(share.right for share in shares), sum(share.of for share in shares))


def _percent(share: Share) -> str:
    return "-" if share.value is None else f"{share.value:.0%} ({share})"


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _plain(value: float | None) -> float | None:
    return None if value is None or math.isinf(value) else value
