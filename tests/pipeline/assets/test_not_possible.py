"""An asset that cannot be had here: what stands in for it, what is said, and when it is tried again."""

import dataclasses

import dagster as dg
import pytest

from pipeline.assets.naming import Naming
from pipeline.assets.stored_asset import StoredAsset, StoreResource, asset_of
from pipeline.base.errors import EvaluationError, NotPossibleError

UNREACHABLE = "the items of hellaswag cannot be loaded from the hub"


@dataclasses.dataclass(frozen=True)
class Scores:
    content_hash: str
    not_possible: str = ""


@pytest.fixture
def run(tmp_path):
    """Materializes `eval/hellaswag` and a scorecard of it; gives the run and what the scorecard was made from."""
    made = []

    def materialize(make, strict=""):
        def card(build):
            made.append(build.summary("eval/hellaswag", Scores).content_hash)
            return Scores(f"card of {made[-1]}")

        suite = StoredAsset(
            key="eval/hellaswag",
            group="evaluation",
            description="Items.",
            version="1",
            settings={"tasks": ["hellaswag"]},
            inputs=[],
            summary=Scores,
            make=make,
            instead=lambda build, why: Scores("none", why),
            missing=lambda scores: scores.not_possible,
            strict=strict,
        )
        scorecard = StoredAsset("scorecard", "evaluation", "All.", "1", {}, ["eval/hellaswag"], Scores, card)
        result = dg.materialize(
            [asset_of(suite, Naming("sample")), asset_of(scorecard, Naming("sample"))],
            resources={"store": StoreResource(root=str(tmp_path / "store"), profile="sample")},
            raise_on_error=False,
        )
        return result, list(made)

    return materialize


def out_of_reach(build):
    raise NotPossibleError(UNREACHABLE, passing=True)


def check_of(result):
    (found,) = result.get_asset_check_evaluations()
    return found.passed, found.severity, found.description


def reused(result, node):
    (event,) = result.asset_materializations_for_node(node)
    return event.metadata["reused"].value


def test_the_rest_is_made_and_the_run_succeeds_with_a_warning(run, capsys):
    result, cards = run(out_of_reach)
    assert result.success
    assert cards == ["none"]
    assert check_of(result) == (False, dg.AssetCheckSeverity.WARN, f"not possible here: {UNREACHABLE}")
    warnings = [line for line in capsys.readouterr().err.splitlines() if "WARNING" in line]
    assert any(f"eval/hellaswag is not possible here: {UNREACHABLE}" in line for line in warnings)


def test_it_is_tried_again_and_nothing_is_rebuilt_while_it_is_still_out_of_reach(run):
    run(out_of_reach)
    tries = []

    def again(build):
        tries.append(build)
        out_of_reach(build)

    result, cards = run(again)
    assert len(tries) == 1
    assert cards == ["none"]
    assert reused(result, "eval__hellaswag")
    assert reused(result, "scorecard")


def test_when_it_can_be_had_it_takes_its_place_and_is_reused_from_then_on(run):
    run(out_of_reach)
    result, cards = run(lambda build: Scores("0.3"))
    assert cards == ["none", "0.3"]
    assert check_of(result)[0]
    again, cards = run(out_of_reach)  # not called
    assert cards == ["none", "0.3"]
    assert reused(again, "eval__hellaswag")
    assert check_of(again)[0]


def test_a_result_that_says_so_itself_is_reused_and_still_warned_of(run):
    run(lambda build: Scores("short", "no text is as long as the context"))
    result, cards = run(out_of_reach)
    assert cards == ["short"]
    assert check_of(result)[2] == "not possible here: no text is as long as the context"


def test_a_strict_profile_ends_there_and_names_the_setting(run):
    result, cards = run(out_of_reach, strict="evaluation.strict")
    assert not result.success
    assert cards == []
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    said = failure.step_failure_data.user_failure_data.description
    assert said.startswith(f"eval/hellaswag is not possible here: {UNREACHABLE}")
    assert "evaluation.strict is true" in said


@pytest.mark.parametrize("error", [EvaluationError("the logits are not finite"), MemoryError(), ZeroDivisionError()])
def test_what_is_wrong_still_fails(run, error):
    def wrong(build):
        raise error

    result, cards = run(wrong)
    assert not result.success
    assert cards == []
