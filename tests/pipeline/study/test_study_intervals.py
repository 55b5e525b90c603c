"""The study's arithmetic, against numpy and scipy."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.study.results.intervals import at_common_cost, at_cost, cost_to_reach, holm, interval, paired, welch

stats = pytest.importorskip("scipy.stats")
values = st.lists(st.floats(-10, 10), min_size=2, max_size=40)


@given(values)
def test_an_interval_is_students(items):
    found = interval(items)
    error = np.std(items, ddof=1) / np.sqrt(len(items))
    assert found.mean == pytest.approx(np.mean(items))
    assert found.half == pytest.approx(stats.t.ppf(0.975, len(items) - 1) * error, rel=1e-3, abs=1e-9)


def test_one_value_says_nothing_about_its_spread():
    assert interval([2.0]) == (2.0, -math.inf, math.inf, 1, None)
    with pytest.raises(ValueError, match="at least one"):
        interval([])


def test_pairs_are_made_by_seed_and_lone_seeds_left_out():
    found = paired({1: 2.0, 2: 2.2, 9: 5.0}, {2: 2.1, 1: 2.3, 8: 1.0})
    assert found == interval([2.0 - 2.3, 2.2 - 2.1])
    assert paired({1: 2.0}, {2: 2.0}) is None


@given(*[st.lists(st.floats(-10, 10), min_size=2, max_size=15)] * 2)
def test_two_samples_differ_by_welchs_interval(mine, theirs):
    found = welch(mine, theirs)
    squares = [np.var(sample, ddof=1) / len(sample) for sample in (mine, theirs)]
    assert found.mean == pytest.approx(np.mean(mine) - np.mean(theirs), abs=1e-9)
    if sum(squares) < 1e-12:
        assert found.half == pytest.approx(0, abs=1e-4)
        return
    freedom = sum(squares) ** 2 / sum(e**2 / (len(s) - 1) for e, s in zip(squares, (mine, theirs), strict=True))
    low, high = (stats.t.ppf(0.975, df) * np.sqrt(sum(squares)) for df in (freedom, max(1, np.floor(freedom - 1e-6))))
    assert low * (1 - 1e-3) <= found.half <= high * (1 + 1e-3)  # degrees of freedom are rounded down
    assert welch(theirs, mine).half == pytest.approx(found.half)


def test_a_single_run_beside_others_has_no_interval():
    assert welch([1.0], [2.0, 3.0]) == (-1.5, -math.inf, math.inf, 1, None)


def test_p_is_that_of_scipys_tests():
    one, other = [-0.1, -0.25, -0.18, -0.2], [0.02, -0.05, 0.03]
    assert interval(one).p == pytest.approx(stats.ttest_1samp(one, 0).pvalue)
    found, expected = welch(one, other), stats.ttest_ind(one, other, equal_var=False)
    assert found.p == pytest.approx(2 * stats.t.sf(abs(expected.statistic), int(expected.df)))
    assert (interval([0.5, 0.5]).p, interval([0.0, 0.0]).p) == (0, 1)  # without any spread it is sure


@given(st.dictionaries(st.sampled_from("abcdef"), st.floats(0, 1), min_size=1))
def test_holm_is_the_closed_test_of_bonferronis(values):
    """By its definition: the largest of Bonferroni's p over all sets of hypotheses that hold this one (Marcus 1976)."""
    found = holm(values)
    for name in values:
        others = [other for other in values if other != name]
        sets = [(name, *some) for count in range(len(others) + 1) for some in itertools.combinations(others, count)]
        assert found[name] == pytest.approx(
            max(min(1, len(some) * min(values[other] for other in some)) for some in sets)
        )


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(-5, 5)), min_size=1, max_size=9), st.floats(0, 100))
def test_a_curve_between_its_points_is_numpys_interp(points, cost):
    curve = sorted({round(x, 3): y for x, y in points}.items())
    x, y = zip(*curve, strict=True)
    found = at_cost(curve, cost)
    if found is None:
        assert cost < x[0] or cost > x[-1]
    else:
        assert found == pytest.approx(np.interp(cost, x, y), abs=1e-9)


def test_where_costs_differ_both_curves_are_read_at_the_smaller_end():
    dear, cheap = [(10.0, 3.0), (20.0, 2.0)], [(5.0, 3.5), (15.0, 2.5)]
    assert at_common_cost({1: dear}, {1: cheap}) == ({1: 2.5}, {1: 2.5})
    assert at_common_cost({1: [(100.0, 1.0)]}, {1: cheap}) == ({}, {1: 2.5})


def test_the_cost_to_reach_a_value_is_between_the_points_around_it():
    curve = [(10.0, 4.0), (20.0, 3.0), (30.0, 2.0)]
    assert cost_to_reach(curve, 2.5) == pytest.approx(25)
    assert cost_to_reach(curve, 3.0) == 20
    assert cost_to_reach(curve, 4.5) == 10
    assert cost_to_reach(curve, 1.9) is None
