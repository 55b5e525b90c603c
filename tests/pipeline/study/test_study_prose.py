"""What people wrote on the pages of results says nothing that their own CSV files do not."""

import itertools
import re
from pathlib import Path

import pytest

from pipeline.study.report.page import BEGIN
from pipeline.study.results.intervals import welch
from pipeline.study.results.runs_table import read_csv, read_runs

DOCS = Path(__file__).parents[3] / "docs"
INTERVAL = re.compile(r"([+-]?\d\.\d+) ± (\d\.\d+)")
APART = {
    "results": [("quarter_x4", "baseline")],
    "second_round": [("taught", "baseline"), ("one_layer", "baseline")],
    "ladder": [],
    "orders": [],
}
"""Pairs that a page sets beside each other by itself."""
DIFFERENCES = ("at_end", "equal_tokens", "equal_flops", "equal_time")


def known(page="results"):
    """(mean, half) of every difference in `effects.csv`, and of those that the page makes by itself."""
    found = []
    for row in read_csv(DOCS / page / "effects.csv"):
        for name, corpus in itertools.product(DIFFERENCES, ("", *(f":{c}" for c in corpora(page)))):
            ends = [row.get(f"{name}{end}{corpus}") for end in ("", "_low", "_high")]
            if all(ends):
                mean, low, high = map(float, ends)
                found.append((mean, (high - low) / 2))
    runs = read_runs(DOCS / page)
    for pair in APART[page]:
        arm, reference = ([run.scores["all"] for run in runs if run.arm == name] for name in pair)
        apart = welch(arm, reference)
        found.append((apart.mean, apart.half))
    return found


def corpora(page):
    names = read_csv(DOCS / page / "effects.csv")[0]
    return [name.partition(":")[2] for name in names if name.startswith("at_end:")]


def says(text, value, *, signed):
    """Whether a figure of the page is a value rounded to as many digits; where no sign stands, of either sign."""
    unit = 10.0 ** -len(text.partition(".")[2])
    value, given = (value, float(text)) if signed else (abs(value), abs(float(text)))
    return abs(given - value) <= unit / 2 + 1e-9


def prose(page="results"):
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    return text[text.index("## What was seen") : text.index(BEGIN)]


@pytest.mark.parametrize(("page", "at_least"), [("results", 30), ("second_round", 5), ("ladder", 5), ("orders", 4)])
def test_every_interval_in_the_prose_is_in_the_csv_files(page, at_least):
    figures = INTERVAL.findall(prose(page))
    assert len(figures) > at_least
    differences = known(page)
    for mean, half in figures:
        signed = mean[0] in "+-"
        assert any(
            says(mean, value, signed=signed) and says(half, spread, signed=False) for value, spread in differences
        ), f"{mean} ± {half} is in no CSV file"


@pytest.mark.parametrize("wrong", ["-0.121 ± 0.013", "+0.121 ± 0.014", "0.345 ± 0.031"])
def test_a_figure_that_is_off_by_one_digit_would_be_found(wrong):
    ((mean, half),) = INTERVAL.findall(wrong)
    assert not any(
        says(mean, value, signed=mean[0] in "+-") and says(half, spread, signed=False) for value, spread in known()
    )


def test_the_prose_calls_equal_only_what_the_table_calls_equal():
    equal = {row["arm"] for row in read_csv(DOCS / "results/effects.csv") if row["verdict"].startswith("equal within")}
    assert equal == {"preset_s_lean", "squeezed_cosine", "squeezed_no_qk_norm"}
    assert not re.search(r"as good as|no worse than|end alike", prose())
