"""What people wrote on the results' page says nothing that its own CSV files do not."""

import itertools
import re
from pathlib import Path

import pytest

from pipeline.study.report.page import BEGIN
from pipeline.study.results.intervals import welch
from pipeline.study.results.runs_table import read_csv, read_runs

DOCS = Path(__file__).parents[3] / "docs"
INTERVAL = re.compile(r"([+-]?\d\.\d+) ± (\d\.\d+)")
DIFFERENCES = ("at_end", "equal_tokens", "equal_flops", "equal_time")


def known():
    """(mean, half) of every difference in `effects.csv`, and of the one comparison that the page makes by itself."""
    found = []
    for row in read_csv(DOCS / "results/effects.csv"):
        for name, corpus in itertools.product(DIFFERENCES, ("", *(f":{c}" for c in corpora()))):
            ends = [row.get(f"{name}{end}{corpus}") for end in ("", "_low", "_high")]
            if all(ends):
                mean, low, high = map(float, ends)
                found.append((mean, (high - low) / 2))
    runs = read_runs(DOCS / "results")
    ends = {arm: [run.scores["all"] for run in runs if run.arm == arm] for arm in ("quarter_x4", "baseline")}
    apart = welch(ends["quarter_x4"], ends["baseline"])
    return [*found, (apart.mean, apart.half)]


def corpora():
    names = read_csv(DOCS / "results/effects.csv")[0]
    return [name.partition(":")[2] for name in names if name.startswith("at_end:")]


def says(text, value, *, signed):
    """Whether a figure of the page is a value rounded to as many digits; where no sign stands, of either sign."""
    unit = 10.0 ** -len(text.partition(".")[2])
    value, given = (value, float(text)) if signed else (abs(value), abs(float(text)))
    return abs(given - value) <= unit / 2 + 1e-9


def prose():
    text = (DOCS / "results.md").read_text(encoding="utf-8")
    return text[text.index("## What was seen") : text.index(BEGIN)]


def test_every_interval_in_the_prose_is_in_the_csv_files():
    figures = INTERVAL.findall(prose())
    assert len(figures) > 30
    differences = known()
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
