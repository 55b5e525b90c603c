"""A question is answered by the interval, for the slowest seed, and never where a run was lost."""

import pytest
from small_study import BASE, page, run, runs, small_study

from pipeline.study.questions.ladder import rank_correlation
from pipeline.study.settings import StudySettings


@pytest.fixture(scope="module")
def study():
    return small_study()


def test_questions_are_answered_by_the_interval_and_never_where_a_run_was_lost(study):
    arms = {**study.arms, **dict.fromkeys(("squeezed_third", "squeezed_half_size"), study.arms["squeezed"])}
    asked = [
        {"kind": "reaches", "arm": "squeezed", "most_tokens": 0.3333, "most_time": 0.5},
        {"kind": "as_good", "arm": "squeezed_third", "fewer": "tokens"},
        {"kind": "as_good", "arm": "squeezed_half_size", "against": "best of tuned", "fewer": "parameters"},
    ]
    wider = StudySettings.model_validate(study.model_dump() | {"arms": arms, "questions": asked})

    def answer(words, *more):
        text = page(wider, runs(*more))
        return next(line for line in text.splitlines() if words in line and line.startswith("- "))

    for shift, word in ((-1.0, "**yes**"), (1.0, "**no**"), (0.05, "**not settled by these seeds**")):
        said = answer("`squeezed_third`", *(run("squeezed_third", seed, end + shift) for seed, end in BASE.items()))
        assert word in said
        said = answer("`squeezed_half_size`", *(run("squeezed_half_size", s, end + shift) for s, end in BASE.items()))
        assert word in said
    lost = [run("squeezed", 1, 1.0), run("squeezed", 2, 0, state="diverged")]
    assert "**no**, it diverged in 1 of 2 runs" in answer("0.33 of its tokens and", *lost)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"fewer": "tokens"}, "with 1.00 of its tokens: **yes**"),
        (
            {"fewer": "text", "most": 0.1},
            "1.000 (at most 0.1 is asked) of its bytes of text: **no, it has more of its text**",
        ),
        ({"fewer": "time", "most": 0.5}, "in 0.500 (at most 0.5 is asked) of its time: **yes**"),
        ({"fewer": "parameters", "most": 1.0}, "1.000 (at most 1 is asked) of its parameters: **yes**"),
    ],
)
def test_an_arm_is_as_good_only_within_the_share_that_it_may_have(study, asked, said):
    questions = [{"kind": "as_good", "arm": "squeezed", **asked}]
    wider = StudySettings.model_validate(study.model_dump() | {"questions": questions})
    better = runs(*(run("squeezed", seed, end - 1) for seed, end in BASE.items()))
    assert said in page(wider, better, {"baseline": 1000.0, "squeezed": 2000.0})
    if asked["fewer"] == "time":
        assert "**not yet answered**, the speeds are not measured" in page(wider, better)


def test_what_the_recipe_is_worth_is_set_beside_itself_one_size_up(study):
    larger = {"larger": study.arms["baseline"], "larger_squeezed": study.arms["squeezed"]}
    asked = [{"kind": "by_size", "sizes": [["squeezed", "baseline"], ["larger_squeezed", "larger"]]}]
    wider = study.model_dump() | {"arms": {**study.arms, **larger}, "questions": asked}
    wider = StudySettings.model_validate(wider)
    items = [run(arm, seed, end) for arm, end in (("larger", 2.5), ("larger_squeezed", 2.0)) for seed in (1, 2)]
    items = runs(*(run("squeezed", seed, end - 1) for seed, end in BASE.items()), *items)
    text = page(wider, items)
    assert "(3 runs against 3); -0.5000 ± 0.0000 at 0.60M parameters (2 runs against 2)" in text


@pytest.mark.parametrize(("end", "answer"), [(-10.0, "yes"), (2.9, "no")])
def test_the_question_of_a_third_of_the_tokens_is_answered_for_the_slowest_seed(study, end, answer):
    items = runs(run("squeezed", 1, -20.0), run("squeezed", 2, end))
    text = page(study, items, {"baseline": 1000.0, "squeezed": 2000.0})
    line = next(line for line in text.splitlines() if "at most 0.33 of its tokens" in line)
    worst = (8 - (min(BASE.values()) + 0.1)) / (8 - (end + 0.1))
    assert f"**{answer}**" in line
    assert f"{worst:.2f} of the tokens in the slowest of 2 seeds" in line
    assert answer == "no" or f"{worst / 2:.2f} of the time" in line


def ladder(study, effects):
    """The page of a study with two rungs, each a baseline that ends at 3.0 and recipes that many bits from it; the last
    recipes of a rung may not have run."""
    recipes = ["rope", "gate", "squeezed"]
    above = {f"large_{name}": study.arms[name] for name in ("baseline", *recipes)}
    rungs = [["baseline", *recipes], list(above)]
    asked = [{"kind": "ladder", "rungs": rungs}]
    wider = StudySettings.model_validate(study.model_dump() | {"arms": {**study.arms, **above}, "questions": asked})
    noise = {1: -0.01, 2: 0.0, 3: 0.01}
    items = [
        run(name, seed, 3.0 + effect + noise[seed] * (1 + place))
        for rung, worth in zip(rungs, effects, strict=True)
        for place, (name, effect) in enumerate(zip(rung, (0.0, *worth), strict=False))
        for seed in noise
    ]
    return page(wider, items)


def test_a_ladder_says_what_holds_of_each_verdict_at_the_next_size(study):
    text = ladder(study, [(-0.5, 0.001, -0.9), (-0.4, 0.3, 0.002)])
    assert "from 0.60M to 0.60M parameters the rank correlation of 3 effects is +0.50." in text
    rows = {line.split("|")[1].strip(): line for line in text.splitlines() if line.startswith("  | `")}
    assert "-0.5000 ±" in rows["`rope`"]
    assert "helps at every size" in rows["`rope`"]
    assert "hurts on the highest rung, not seen on every one" in rows["`gate`"]
    assert "helps on the lowest rung, not seen on the highest" in rows["`squeezed`"]
    assert "reverses" in ladder(study, [(-0.5, 0.1, 0.2), (0.5, 0.1, 0.2)])


def test_a_ladder_says_nothing_of_what_has_not_run_yet(study):
    text = ladder(study, [(-0.5, -0.1, -0.9), (-0.4, 0.3)])
    assert "the rank correlation of 2 effects is +1.00." in text
    assert "the rank correlation of 2 effects is -1.00." in ladder(study, [(-0.5, -0.1, -0.9), (-0.2, -0.3)])
    row = next(line for line in text.splitlines() if line.startswith("  | `squeezed`"))
    assert row.endswith("| - | too few sizes |")


def test_a_ladder_says_nothing_before_two_rungs_have_run(study):
    arms = {
        **study.arms,
        "large": study.arms["baseline"],
        "large_rope": study.arms["rope"],
        "large_gate": study.arms["gate"],
    }
    asked = [{"kind": "ladder", "rungs": [["baseline", "rope", "gate"], ["large", "large_rope", "large_gate"]]}]
    wider = StudySettings.model_validate(study.model_dump() | {"arms": arms, "questions": asked})
    items = [run(name, seed, 3.0) for name in ("baseline", "rope", "gate") for seed in (1, 2)]
    assert "Up the ladder" not in page(wider, items)


def test_rungs_of_a_ladder_hold_the_same_recipes(study):
    asked = [{"kind": "ladder", "rungs": [["baseline", "rope", "gate"], ["baseline", "rope"]]}]
    with pytest.raises(ValueError, match="the arms of the same recipes"):
        StudySettings.model_validate(study.model_dump() | {"questions": asked})


@pytest.mark.parametrize(
    ("one", "other", "wanted"),
    [
        ((1, 2, 3, 4), (10, 20, 30, 40), 1.0),
        ((1, 2, 3, 4), (4, 3, 2, 1), -1.0),
        ((106, 100, 86, 101, 99, 103, 97, 113, 112, 110), (7, 27, 2, 50, 28, 29, 20, 12, 6, 17), -29 / 165),
        ((1, 1, 2), (5, 5, 5), None),
    ],
)
def test_rank_correlation_is_spearmans(one, other, wanted):
    from scipy.stats import spearmanr

    found = rank_correlation(one, other)
    assert found is None if wanted is None else found == pytest.approx(wanted)
    if wanted is not None:
        assert found == pytest.approx(spearmanr(one, other).statistic)
