"""What an arm is worth is what numpy and scipy say of its runs beside its reference's."""

import math

import numpy as np
import pytest
from small_study import BASE, ROPE, T2, effect_of, results, run, runs, small_study

from pipeline.study.results.effects import effects


@pytest.fixture(scope="module")
def study():
    return small_study()


def test_arms_that_begin_with_the_same_weights_are_compared_seed_by_seed_with_students_interval(study):
    found = effect_of(
        study, "lr_x2", runs(*(run("lr_x2", seed, end) for seed, end in ROPE.items()), run("lr_x2", 7, 1))
    )
    differences = np.array([ROPE[seed] - BASE[seed] for seed in BASE])
    half = T2 * differences.std(ddof=1) / np.sqrt(3)
    assert (found.paired, found.runs_compared, found.seeds) == (True, "3", 4)  # seed 7 has nothing to be compared with
    for interval in (found.pooled.at_end, found.pooled.equal_tokens, found.corpora["web"].at_end):
        assert interval.mean == pytest.approx(differences.mean())
        assert interval.low == pytest.approx(differences.mean() - half)
        assert interval.high == pytest.approx(differences.mean() + half)
    assert found.verdict == "helps"


def test_arms_of_other_weights_are_independent_samples_of_all_their_runs(study):
    stats = pytest.importorskip("scipy.stats")
    found = effect_of(study, "rope", runs(run("baseline", 4, 3.3), run("baseline", 5, 3.0)))
    sides = list(ROPE.values()), [*BASE.values(), 3.3, 3.0]
    expected = stats.ttest_ind(*sides, equal_var=False)
    assert (found.paired, found.runs_compared) == (False, "3/5")
    assert found.pooled.at_end.mean == pytest.approx(np.mean(sides[0]) - np.mean(sides[1]))
    error = (np.mean(sides[0]) - np.mean(sides[1])) / expected.statistic
    assert found.pooled.at_end.half == pytest.approx(stats.t.ppf(0.975, int(expected.df)) * error, rel=1e-3)
    assert found.bits_per_byte == pytest.approx(np.mean(sides[0]))


@pytest.mark.parametrize(
    ("arm", "reference", "alike"),
    [
        ("lr_x2", "baseline", True),
        ("rope", "baseline", False),
        ("squeezed", "rope", True),
        ("bpe_4k", "baseline", False),
    ],
)
def test_runs_of_a_seed_begin_alike_where_model_and_vocabulary_are_the_same(study, arm, reference, alike):
    assert study.design().alike(arm, reference) == alike


def test_where_ends_cost_the_same_they_are_compared_and_not_a_part_of_the_sample(study):
    items = runs(*(run("lr_x2", seed, end, flops=10.1) for seed, end in ROPE.items()))
    found = effect_of(study, "lr_x2", items, {"baseline": 1000.0, "lr_x2": 995.0}).pooled
    assert found.at_end == found.equal_tokens == found.equal_flops == found.equal_time


def test_at_equal_flops_and_time_the_cheaper_end_of_both_curves_is_compared(study):
    dear = [run("gate", seed, end, flops=20.0) for seed, end in BASE.items()]
    found = effect_of(study, "gate", runs(*dear), {"baseline": 1000.0, "gate": 250.0})
    x = np.array([2000, 4000, 6000, 8000])

    def expected(cost):  # tokens the gate has when the baseline ends, at `cost` times the baseline's price of a token
        return np.mean(
            [
                np.interp(8000, x * cost, 8 + (end + 0.1 - 8) * np.arange(1, 5) / 4) - (end + 0.1)
                for end in BASE.values()
            ]
        )

    assert found.pooled.equal_flops.mean == pytest.approx(expected(2))
    assert found.pooled.equal_time.mean == pytest.approx(expected(4))
    assert effect_of(study, "gate", runs(*dear)).pooled.equal_time is None


def test_other_tokenizers_are_compared_at_equal_bytes_of_text(study):
    other = [run("bpe_4k", seed, end - 0.5, vocab=4096, tokens=4000, bytes_per_token=5.0) for seed, end in BASE.items()]
    found = effect_of(study, "bpe_4k", runs(*other))
    assert found.pooled.equal_tokens.mean == pytest.approx(-0.5)
    half_the_text = [run("bpe_4k", seed, end, vocab=4096, tokens=4000) for seed, end in BASE.items()]
    found = effect_of(study, "bpe_4k", runs(*half_the_text))
    middle = np.mean([8 + (end + 0.1 - 8) / 2 for end in BASE.values()])
    assert found.pooled.equal_tokens.mean == pytest.approx(np.mean(list(BASE.values())) + 0.1 - middle)
    assert found.pooled.at_end.mean == pytest.approx(0)


def test_the_share_of_tokens_to_reach_the_references_end_is_read_off_the_curve(study):
    found = effect_of(study, "squeezed", runs(*(run("squeezed", seed, 1.9) for seed in BASE)))
    for share in found.reach.values():  # 8 - 6 * share = the end of the baseline's best curve
        assert share == pytest.approx((8 - (min(BASE.values()) + 0.1)) / 6)
    other = [run("bpe_4k", 1, 1.9, vocab=4096, tokens=4000, bytes_per_token=5.0)]  # as much text in half the tokens
    assert effect_of(study, "bpe_4k", runs(*other)).reach == pytest.approx({1: share})
    assert effect_of(study, "squeezed", runs(run("squeezed", 1, 3.5))).reach == {1: math.inf}


def test_the_verdict_is_about_ends_and_not_about_schedules_on_their_way(study):
    """Half the tokens with the schedule at its end is under the other's curve there, and above its end."""
    short = [run("gate", seed, end + 0.4, tokens=4000) for seed, end in BASE.items()]
    found = effect_of(study, "gate", runs(*short))
    assert (found.pooled.equal_tokens.high < 0, found.pooled.at_end.low > 0) == (True, True)
    assert found.verdict == "hurts"


def test_a_diverged_run_is_a_verdict_and_not_a_number(study):
    found = effect_of(study, "lr_x6", runs(run("lr_x6", 1, 0, state="diverged"), run("lr_x6", 2, 2.5)))
    assert (found.seeds, found.diverged, found.verdict) == (1, 1, "diverged in 1 of 2 runs")


def test_two_seeds_that_disagree_are_too_few_for_a_verdict(study):
    for arm in ("lr_x2", "gate"):
        unsure = [run(arm, 1, BASE[1] + 0.1), run(arm, 2, BASE[2] - 0.1)]
        assert effect_of(study, arm, runs(*unsure)).verdict == "too few seeds"
        unsure.append(run(arm, 3, BASE[3]))
        assert effect_of(study, arm, runs(*unsure)).verdict == "no difference seen"


def test_equal_is_only_what_lies_inside_the_margin_as_a_whole(study):
    study = study.model_copy(update={"margin": 0.05})
    for shifts, verdict in (
        ((0.01, -0.01, 0.0), "equal within 0.05"),
        ((0.04, -0.04, 0.0), "no difference seen"),
        ((0.011, 0.01, 0.012), "hurts, by less than 0.05"),
        ((0.06, 0.05, 0.06), "hurts"),
    ):
        items = [run("lr_x2", seed, BASE[seed] + shift) for seed, shift in zip(BASE, shifts, strict=True)]
        assert effect_of(study, "lr_x2", runs(*items)).verdict == verdict


def test_what_one_interval_shows_may_not_hold_among_many(study):
    arms = [f"lr_{name}" for name in ("x2", "x3", "x6")]
    same = [run(arm, seed, end) for arm in arms[1:] for seed, end in BASE.items()]
    shifted = [run("lr_x2", seed, BASE[seed] - shift) for seed, shift in zip(BASE, (0.1, 0.12, 0.17), strict=True)]
    alone = effect_of(study, "lr_x2", [*(item for item in runs() if item.arm == "baseline"), *shifted])
    among = effect_of(study, "lr_x2", runs(*shifted, *same))
    assert (alone.holm, alone.verdict) == (alone.pooled.at_end.p, "helps")
    assert among.pooled.at_end.p == alone.pooled.at_end.p
    assert (among.holm > 0.05, among.verdict) == (True, "helps, not after Holm")


def test_a_choice_or_an_order_of_text_drawn_once_gets_no_verdict(study):
    stages = [{"name": "web", "mixture": {"web": 1}}]
    data = {
        **study.data,
        "web": {"tokens": 8000, "stages": stages},
        "web_again": {"tokens": 8000, "stages": stages, "seed": 2},
        "less": {"tokens": 4000},
        "once": {"tokens": 8000, "shuffle": "once"},
        "twice": {"tokens": 8000, "epochs": 2},
    }
    drawn = {"web": "web", "less": "less", "once": "once", "twice": "twice", "several": ["web", "web_again"]}
    arms = {**study.arms, **{name: {"data": names} for name, names in drawn.items()}}
    wider = type(study).model_validate(study.model_dump() | {"data": data, "arms": arms})
    names = [*drawn, "bpe_4k", "rope"]
    items = runs(*(run(arm, seed, end - 1) for arm in names if arm != "rope" for seed, end in BASE.items()))
    found = {item.arm: item.verdict for item in effects(results(wider, items)) if item.arm in names}
    once = dict.fromkeys(("web", "less", "once"), "one draw of the text")
    assert {arm: found[arm] for arm in once} == once
    assert all(not found[arm].startswith("one draw") for arm in ("twice", "several", "bpe_4k", "rope"))


def test_the_tuned_baseline_is_the_best_that_did_not_diverge(study):
    swept = [run("lr_x3", seed, 2.8) for seed in BASE] + [run("lr_x2", seed, 2.7) for seed in BASE]
    diverged = [run("lr_x6", 1, 2.0), run("lr_x6", 2, 0, state="diverged")]
    assert results(study, runs(*swept, *diverged)).tuned_baseline == "lr_x2"
    assert results(study, []).tuned_baseline is None
    lucky = [run("lr_x3", 1, BASE[1] + 0.01)]  # better than the baseline's mean, and worse than the baseline's own seed
    assert results(study, runs(*lucky)).tuned_baseline == "baseline"
