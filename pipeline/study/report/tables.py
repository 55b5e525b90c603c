"""The page's tables of numbers, in markdown: arms, corpora, costs, benchmarks. A table without rows is empty text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pipeline.study.results.benchmark_spread import spreads
from pipeline.study.results.effects import ONE_DRAW, Effect
from pipeline.study.results.intervals import interval, shown
from pipeline.study.results.results import Results
from pipeline.study.results.run_result import POOLED

LEAST_SHOWN: Final = 1e-4


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table with so many cells in each row as its head has, without padding: its cells are long."""
    lines = [f"| {' | '.join(cells)} |" for cells in rows]
    titles = "|".join(f" {title} " if title else " " for title in head)
    return "\n".join([f"|{titles}|", "|" + "---|" * len(head), *lines])


def all_arms(results: Results, effects: Sequence[Effect]) -> str:
    """The baseline, and every arm beside its reference."""
    head = ["arm", "what", "seeds", "parameters", "tokens", "bits/byte", "against", "at the end"]
    head += ["equal tokens", "equal FLOPs", "equal time", "p", "Holm", "verdict"]
    rows = []
    baseline = results.design.baseline
    if runs := list(results.finished(baseline).values()):
        mean = interval([run.scores[POOLED] for run in runs]).mean
        size, tokens = f"{runs[0].parameters:,}", f"{runs[0].tokens:,}"
        rows.append([f"`{baseline}`", runs[0].title, str(len(runs)), size, tokens, f"{mean:.4f}", *("",) * 8])
    for item in effects:
        value = "-" if item.bits_per_byte is None else f"{item.bits_per_byte:.4f}"
        tokens = f"{results.by_arm[item.arm][0].tokens:,}"
        cells = [f"`{item.arm}`", item.title, item.runs_compared, f"{item.parameters:,}", tokens, value]
        chances = [chance(item.pooled.at_end.p if item.pooled.at_end else None), chance(item.holm)]
        rows.append([*cells, f"`{item.against}`", *map(shown, item.pooled), *chances, item.verdict])
    return (
        f"{table(head, rows)}\n\n"
        "*Seeds*: `3` are pairs of runs of one seed that begin with the same weights; `3/5` are three runs against "
        "five. *Bits/byte* is the mean over all of an arm's runs: where pairs are fewer, the means differ by a little "
        "more or less than the pairs do. *p*: of no difference at the end, by the test of the interval; *Holm*: the "
        f"same, corrected for all the arms of this table. *{ONE_DRAW.capitalize()}*: the arm's choice or order of text "
        "was drawn once, so its interval holds what another initialisation would change and not what another draw "
        "would; no word is given."
    )


def by_corpus(effects: Sequence[Effect]) -> str:
    """Differences at the end; at equal tokens, FLOPs and time they are in `effects.csv`."""
    names = list(dict.fromkeys(name for item in effects for name in item.corpora))
    rows = [
        [f"`{item.arm}`", *(shown(item.corpora[name].at_end if name in item.corpora else None) for name in names)]
        for item in effects
        if item.corpora
    ]
    return table(["arm", *names], rows) if names else ""


def costs(results: Results) -> str:
    """Size, FLOPs and speed; arms that cost the same share a row."""
    speed = results.speed
    base = speed.get(results.design.baseline)
    groups: dict[tuple[int, int, int, float, float | None], list[str]] = {}
    for name, (run, *_) in results.by_arm.items():
        sizes = (run.parameters, run.embedding_parameters, run.active_parameters)
        groups.setdefault((*sizes, run.flops_per_token, speed.get(name)), []).append(f"`{name}`")
    head = ["arms", "parameters", "in embeddings", "active for a token", "FLOPs a token", "tokens/s, one thread"]
    rows = [
        [
            *(", ".join(names), f"{parameters:,}", f"{embedding:,}", f"{active:,}", f"{flops / 1e6:.2f}M"),
            *(f"{rate:,.0f}" if rate else "-", f"{rate / base:.2f}" if rate and base else "-"),
        ]
        for (parameters, embedding, active, flops, rate), names in groups.items()
    ]
    return table([*head, "of the baseline's"], rows)


def benchmarks(results: Results) -> str:
    """How far each benchmark spreads over seeds and arms, and whether it tells the recipe from the baseline."""
    recipe = results.design.recipe
    head = ["benchmark", "items", "all runs", "lowest arm", "highest arm", "spread over seeds", "by chance"]
    head += ["told apart", *([f"`{recipe}` minus `{results.design.baseline}`"] if recipe else [])]
    rows = []
    for row in spreads(results):
        ends = [f"`{name}` {value:.3f}" for name, value in (row.lowest, row.highest)]
        spread = [share(row.over_seeds), share(row.by_chance), share(row.told_apart)]
        difference = [shown(row.difference)] if recipe else []
        rows.append([f"{row.task} {row.metric}", str(row.items), f"{row.mean:.3f}", *ends, *spread, *difference])
    if not rows:
        return ""
    return (
        f"{table(head, rows)}\n\n"
        "*Spread over seeds*: one standard deviation within an arm, pooled over all arms. *By chance*: one standard "
        "error of a share of so many items. *Told apart*: the smallest difference of two arms' means over three seeds "
        "that is twice its standard error, on these items; another draw of items moves both arms, and their difference "
        "by more."
    )


def chance(value: float | None) -> str:
    """A probability to two digits; `-` where there is none."""
    if value is None:
        return "-"
    return f"{value:.2g}" if value >= LEAST_SHOWN else f"< {LEAST_SHOWN:g}"


def share(value: float | None) -> str:
    """A share of right answers, or how far it spreads; `-` where that is not known."""
    return "-" if value is None else f"{value:.3f}"
