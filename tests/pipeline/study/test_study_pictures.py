"""The pictures of a study show what their figures say, also where it does not fit."""

import pytest
from matplotlib.figure import Figure
from small_study import results, run, small_study

from pipeline.study.report.pictures import WIDEST, _forest_panel
from pipeline.study.results.effects import effects
from pipeline.study.results.intervals import Interval


@pytest.mark.parametrize(
    ("interval", "arrows"),
    [
        (Interval(-0.55, -0.64, -0.46, 3), ["<"]),
        (Interval(0.5, 0.4, 0.7, 3), [">"]),
        (Interval(0.0, -0.9, 0.9, 3), ["<", ">"]),
        (Interval(-0.1, -0.2, 0.0, 3), []),
    ],
)
def test_an_interval_that_goes_beyond_the_forest_ends_in_an_arrow(interval, arrows):
    runs = [run(arm, seed, 3.0) for arm in ("baseline", "rope") for seed in (1, 2)]
    effect = next(item for item in effects(results(small_study(), runs)) if item.arm == "rope")
    axes = Figure().subplots()
    _forest_panel(axes, [(effect, interval)], effect.against)
    at_the_edge = [line for line in axes.lines if line.get_marker() in ("<", ">")]
    assert [line.get_marker() for line in at_the_edge] == arrows
    assert all(abs(line.get_xdata()[0]) == WIDEST for line in at_the_edge)
    (bar,) = [line for line in axes.lines if line.get_linewidth() == 2.2]
    assert list(bar.get_xdata()) == [max(interval.low, -WIDEST), min(interval.high, WIDEST)]
