"""The frontier of quality and bytes: what it draws, and what it says where there is nothing to measure."""

import pytest

from pipeline.base.errors import StudyError
from pipeline.profile.profile import load_profile
from pipeline.store import Store
from pipeline.study.sizes import COLUMNS, beside, measure_sizes, sizes_png


def test_it_draws_a_line_an_arm_over_the_means_of_its_seeds():
    rows = [
        dict(zip(COLUMNS, (arm, seed, 600_000, bits, 75_000 * bits, 2.5 - 0.01 * bits + 0.1 * seed), strict=True))
        for arm in ("plain", "decayed")
        for seed in (1, 2)
        for bits in (16, 4)
    ]
    one = sizes_png(rows[:2])
    assert one.startswith(b"\x89PNG")
    assert one == sizes_png(rows[:2]) != sizes_png(rows)


def test_it_says_how_runs_keep_their_weights_where_none_has(tmp_path):
    plan = load_profile("study").study_plan
    with pytest.raises(StudyError, match=r"no finished run has kept its weights: set keep_weights on the arms"):
        measure_sizes(plan, Store(tmp_path, "study").open())


def test_an_arm_measured_alone_stands_among_those_known_in_place_of_its_own_rows(tmp_path):
    known = [{"arm": arm, "seed": "1", "bytes": "10"} for arm in ("plain", "decayed")]
    again, new = {"arm": "plain", "seed": 1, "bytes": 9}, {"arm": "third", "seed": 1, "bytes": 8}
    assert beside([new, again], known) == [again, known[1], new]
    plan = load_profile("study").study_plan
    with pytest.raises(StudyError, match="there is no arm 'basline'; did you mean 'baseline'"):
        measure_sizes(plan, Store(tmp_path, "study").open(), only=("basline",))
