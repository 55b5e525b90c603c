"""A study that cannot run is refused when its profile is read, in words that name the arm and the setting."""

import pytest

from pipeline.base.errors import ProfileError
from pipeline.profile.profile import load_profile
from pipeline.study.runs.seeds import arm_inputs, kept_weights, seed_inputs
from pipeline.study.settings import Budget


def study(**changes):
    return load_profile("study", {"study": changes})


@pytest.fixture(scope="module")
def profile():
    return load_profile("study")


def resolved(profile, name):
    return profile.study_plan.arm(name)


def test_the_built_in_study_resolves_and_covers_every_idea_but_evaluation(profile):
    arms = profile.study.arms
    assert {arm.idea for arm in arms.values()} >= set(range(1, 13))
    assert [resolved(profile, name).name for name in arms] == list(arms)


def test_an_arm_is_its_ancestors_changes_and_then_its_own(profile):
    squeezed, smaller = resolved(profile, "squeezed"), resolved(profile, "squeezed_half_size")
    assert (smaller.model.repeats, smaller.model.embedding_width) == (2, 40)
    assert (squeezed.model.repeats, squeezed.model.embedding_width) == (1, None)
    assert smaller.training == squeezed.training
    assert resolved(profile, "squeezed_third").budget.tokens * 3 <= profile.study.budget.tokens


def test_seeds_take_several_data_sets_in_turn():
    profile = study(arms={"children_5": {"data": ["children_5", "base"], "seeds": [7, 3, 5]}})
    arm = resolved(profile, "children_5")
    assert [arm.data_of(seed) for seed in (7, 3, 5)] == ["children_5", "base", "children_5"]
    assert [key for key in arm_inputs(profile.study_plan, arm) if key.startswith("ablation_data/")] == [
        "ablation_data/children_5",
        "ablation_data/base",
    ]
    assert "ablation_data/base" not in seed_inputs(profile.study_plan, arm, 5)


def test_equal_parameters_are_equal(profile):
    import torch

    from trainer.model import GPT

    def parameters(name):
        with torch.device("meta"):
            return GPT(resolved(profile, name).model).parameter_counts()

    assert parameters("gate")["total"] == pytest.approx(parameters("gate_control")["total"], rel=1e-3)
    assert parameters("squeezed")["total"] <= parameters("baseline")["total"]
    assert parameters("squeezed_half_size")["total"] <= parameters("baseline")["total"] / 2
    assert parameters("moe_active")["active"] == pytest.approx(parameters("baseline")["total"], rel=5e-3)
    assert parameters("moe_total")["total"] == pytest.approx(parameters("baseline")["total"], rel=5e-3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"arms": {"rope": {"change": {"model.positon": "rope"}}}}, "arms.rope.change.*did you mean 'position'"),
        ({"arms": {"rope": {"change": {"modle.position": "rope"}}}}, "arms.rope.change.*did you mean 'model'"),
        ({"arms": {"rope": {"change": {"model.heads": 5}}}}, "arms.rope.change.*divide width"),
        ({"arms": {"rope": {"extends": "swiglo"}}}, "arms.rope.extends.*did you mean 'swiglu'"),
        ({"arms": {"rope": {"extends": "swiglu"}, "swiglu": {"extends": "rope"}}}, "extend each other"),
        ({"arms": {"rope": {"data": "none"}}}, "arms.rope.data: there is no data set 'none'"),
        ({"arms": {"rope": {"data": ["base", "bse"]}}}, "arms.rope.data: there is no data set 'bse'"),
        ({"arms": {"rope": {"data": []}}}, "arms.rope.data: name at least one"),
        ({"arms": {"rope": {"data": ["base", "bpe_4k"]}}}, "base and bpe_4k have different tokenizers"),
        ({"arms": {"rope": {"teachers": ["swiglo"]}}}, "arms.rope.teachers: there is no arm 'swiglo'"),
        ({"arms": {"rope": {"teachers": ["bpe_4k"]}}}, "arms.rope.teachers: bpe_4k has another tokenizer than rope"),
        (
            {"arms": {"rope": {"teachers": ["swiglu"]}, "swiglu": {"teachers": ["rope"]}}},
            "arms.rope.teachers: it would learn from itself",
        ),
        ({"arms": {"rope": {"sedes": [1]}}}, "unknown key.*did you mean 'seeds'"),
        ({"baseline": "base"}, "baseline: there is no arm 'base'"),
        ({"recipe": "squezed"}, "recipe: there is no arm 'squezed'; did you mean 'squeezed'"),
        (
            {"arms": {"rope": {"change": {"training.window_warmup": 0.5}}}},
            "training.window_warmup: no attention is short",
        ),
        ({"arms": {"rope": {"idea": 14}}}, "arms.rope.idea: 14 is none of the 13 ideas"),
        ({"questions": [{"kind": "reaches", "arm": "roe", "most_tokens": 1}]}, "questions.*'roe'; did you mean 'rope'"),
        ({"questions": [{"kind": "wins"}]}, "questions.*'wins'"),
        ({"data": {"base": {"tokenizer": "bpe_9k"}}}, "study.data.base.tokenizer: 'bpe_9k'"),
        ({"heldout": {"bytes": {"boks": 1}}}, "'boks' is not in corpora; did you mean 'books'"),
        ({"budget": {"flops": 1e12}}, "exactly one of tokens, flops, bytes"),
    ],
)
def test_a_mistake_is_named(changes, message):
    with pytest.raises(ProfileError, match=message):
        study(**changes)


def test_a_budget_pays_for_whole_batches():
    assert Budget(tokens=1000).steps(300, 1.0, 4.0) == 3
    assert Budget(flops=6000.0).steps(300, 2.0, 4.0) == 10
    assert Budget(bytes=4800).steps(300, 2.0, 4.0) == 4


def test_a_tokenizer_is_the_same_whether_a_data_set_names_it_or_the_profile_selects_it():
    named = {"bpe_2k": {"tokenizer": "bpe_2k", "tokens": 3_150_000}}
    profile = study(data=named, arms={"swiglu": {"data": ["base", "bpe_2k"]}, "rope": {"teachers": ["swiglu"]}})
    assert resolved(profile, "rope").teachers == ("swiglu",)


def test_checkpoints_are_kept_beside_the_end_and_make_the_run_another():
    with pytest.raises(
        ProfileError, match="keep_checkpoints is kept beside what a run ends with: set keep_weights too"
    ):
        study(arms={"rope": {"keep_checkpoints": 2}})
    kept = [
        resolved(study(arms={"rope": {"keep_weights": True, "keep_checkpoints": count}}), "rope") for count in (0, 2)
    ]
    assert [kept_weights(arm) for arm in kept] == [{"weights": "kept"}, {"weights": "kept", "checkpoints": 2}]
