"""The report says of runs what numpy says of them, survives its CSV files, and works with whatever has finished."""

import dataclasses
import math

import numpy as np
import pytest

from pipeline.base.errors import StudyError
from pipeline.study.report.page import BEGIN, END, markdown, write_page
from pipeline.study.report.report import build_report, curve_arms
from pipeline.study.results.benchmark_spread import spreads
from pipeline.study.results.effects import effects
from pipeline.study.results.results import Results
from pipeline.study.results.run_result import RunResult
from pipeline.study.results.runs_table import Run, collect, read_csv, read_runs, write_runs
from pipeline.study.settings import StudySettings

T2 = 4.303  # Student's 97.5% quantile at two degrees of freedom, for three seeds
CORPORA = ("books", "web")


@pytest.fixture(scope="module")
def study():
    changes = {
        "baseline": {},
        "rope": {"model.position": "rope"},
        "gate": {"model.attention_input": "4n"},
        "squeezed": {"model.position": "rope", "training.optimizer.kind": "muon"},
        "bpe_4k": {},
        **{f"lr_{rate}": {"training.optimizer.learning_rate": 1e-3} for rate in ("x2", "x3", "x6")},
    }
    return StudySettings(
        budget={"tokens": 8000},
        data={"base": {"tokens": 8000}, "bpe_4k": {"tokens": 8000, "tokenizer": "bpe_4k"}},
        heldout={"bytes": dict.fromkeys(CORPORA, 1000)},
        baseline="baseline",
        tuned=("baseline", "lr_x2", "lr_x3", "lr_x6"),
        recipe="squeezed",
        ideas=("initialisation", "gate", "MLP", "experts", "RoPE", {"title": "evaluation", "shows": "spread"}),
        questions=[
            {"kind": "reaches", "arm": "squeezed", "most_tokens": 0.3333, "most_time": 0.5},
            {"kind": "best_of_tuned"},
        ],
        arms={
            name: {"idea": 5 if name == "rope" else 0, "change": change, "data": name if name == "bpe_4k" else None}
            for name, change in changes.items()
        },
    )


def run(arm, seed, end, *, tokens=8000, flops=10.0, state="finished", vocab=2048, bytes_per_token=2.5, against=None):
    """A run whose curves fall linearly in four points from 8 bits per byte to its end, 0.1 above the whole sample's."""
    scores = {"all": end, "books": end + 1, "web": end - 1}
    curves = {
        name: [(tokens * k // 4, 8 + (score + 0.1 - 8) * k / 4) for k in range(1, 5)] for name, score in scores.items()
    }
    return Run(
        arm,
        0,
        arm,
        against or "baseline",
        seed,
        state,
        vocab,
        600_000,
        200_000,
        600_000,
        tokens,
        bytes_per_token,
        flops,
        13_000.0,
        scores if state == "finished" else {},
        curves if state == "finished" else {},
    )


BASE = {1: 3.0, 2: 3.2, 3: 3.1}
ROPE = {1: 2.9, 2: 3.05, 3: 2.98}


def runs(*more):
    return [
        *(run("baseline", seed, end) for seed, end in BASE.items()),
        *(run("rope", seed, end) for seed, end in ROPE.items()),
        *more,
    ]


def results(study, items, speed=None):
    return Results(study.design(), items, speed or {})


def effect_of(study, arm, items, speed=None):
    return next(item for item in effects(results(study, items, speed)) if item.arm == arm)


def page(study, items, speed=None):
    of_runs = results(study, items, speed)
    return markdown(of_runs, effects(of_runs), study)


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


def test_the_tuned_baseline_is_the_best_that_did_not_diverge(study):
    swept = [run("lr_x3", seed, 2.8) for seed in BASE] + [run("lr_x2", seed, 2.7) for seed in BASE]
    diverged = [run("lr_x6", 1, 2.0), run("lr_x6", 2, 0, state="diverged")]
    assert results(study, runs(*swept, *diverged)).tuned_baseline == "lr_x2"
    assert results(study, []).tuned_baseline is None
    lucky = [run("lr_x3", 1, BASE[1] + 0.01)]  # better than the baseline's mean, and worse than the baseline's own seed
    assert results(study, runs(*lucky)).tuned_baseline == "baseline"


def scored(arm, seed, share):
    """A run with a share of right answers of 50 items."""
    return dataclasses.replace(run(arm, seed, 3.0), benchmarks={"hellaswag:acc_norm": share, "hellaswag:items": 50.0})


def test_a_benchmarks_spread_is_pooled_within_arms_and_says_what_it_tells_apart(study, tmp_path):
    study = study.model_copy(update={"recipe": "lr_x2"})  # whose runs begin as the baseline's do
    shares = {"baseline": {1: 0.24, 2: 0.28, 3: 0.26}, "lr_x2": {1: 0.36, 2: 0.38, 3: 0.4}, "rope": {1: 0.9}}
    items = [scored(arm, seed, share) for arm, seeds in shares.items() for seed, share in seeds.items()]
    (row,) = spreads(results(study, items))
    pooled = np.sqrt(np.mean([np.var(list(shares[arm].values()), ddof=1) for arm in ("baseline", "lr_x2")]))
    assert row.over_seeds == pytest.approx(pooled)  # one run of an arm says nothing of its spread
    assert row.mean == pytest.approx(np.mean([share for seeds in shares.values() for share in seeds.values()]))
    assert row.by_chance == pytest.approx(np.sqrt(row.mean * (1 - row.mean) / 50))
    assert (row.lowest[0], row.highest[0]) == ("baseline", "lr_x2")  # rope has one run
    differences = np.array([shares["lr_x2"][seed] - shares["baseline"][seed] for seed in (1, 2, 3)])
    half = T2 * differences.std(ddof=1) / np.sqrt(3)
    assert (row.difference.low, row.difference.high) == pytest.approx(
        (differences.mean() - half, differences.mean() + half)
    )
    text = build_report(results(study, items), study, tmp_path).markdown
    assert "1 of 1 benchmarks tell `lr_x2` from `baseline` on these items (hellaswag)" in text
    near = [scored("baseline", seed, share) for seed, share in {1: 0.24, 2: 0.28, 3: 0.26}.items()]
    near += [scored("lr_x2", seed, share + 0.01) for seed, share in {1: 0.24, 2: 0.28, 3: 0.26}.items()]
    (row,) = spreads(results(study, near))
    assert (row.difference.low > 0, row.tells_apart) == (True, False)  # every pair agrees, by less than runs spread
    assert read_runs(tmp_path) == items


def test_csv_files_give_the_runs_back_to_the_bit_and_the_report_with_them(study, tmp_path):
    items = runs(run("lr_x6", 1, 0, state="diverged"), run("squeezed", 1, 1 / 3))
    write_runs(items, tmp_path / "a")
    back = read_runs(tmp_path / "a")
    assert back == items
    assert page(study, back) == page(study, items)


def test_the_report_of_some_arms_names_the_others_and_answers_only_what_they_answer(study, tmp_path):
    found = build_report(results(study, runs()), study, tmp_path)
    assert (found.finished, found.runs, found.arms) == (2, 6, len(study.arms))
    row = next(row for row in read_csv(tmp_path / "effects.csv") if row["arm"] == "rope")
    assert float(row["equal_tokens"]) == pytest.approx(np.mean([ROPE[s] - BASE[s] for s in BASE]))
    pooled = np.sqrt(np.mean([np.var(list(ends.values()), ddof=1) for ends in (BASE, ROPE)]))
    middle = np.median([np.std(list(ends.values()), ddof=1) for ends in (BASE, ROPE)])
    assert f"spread over seeds: bits per byte {pooled:.4f} pooled, {middle:.4f} in the middle arm" in found.markdown
    assert "Benchmarks over seeds" not in found.markdown
    assert "`squeezed`" in found.markdown.split("### Not run")[1]
    assert "not yet answered" in found.markdown
    for name in ("forest", "curves", "frontier"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_a_report_whose_pictures_cannot_be_drawn_is_still_written_and_says_so(study, tmp_path, monkeypatch, caplog):
    def no_font(*_):
        raise OSError("no such font")

    monkeypatch.setattr("pipeline.study.report.pictures.pictures", no_font)
    found = build_report(results(study, runs()), study, tmp_path)
    assert found.finished == 2
    assert read_csv(tmp_path / "effects.csv")
    assert not list(tmp_path.glob("*.png"))
    assert "OSError: no such font" in caplog.text


def test_each_curve_is_drawn_once_also_where_the_baseline_is_the_tuned_one(study):
    assert results(study, runs()).tuned_baseline == "baseline"
    assert curve_arms(results(study, runs(run("squeezed", 1, 2.0)))) == ["baseline", "squeezed"]


def test_a_page_has_the_ideas_and_questions_of_its_study_and_no_others(study):
    other = study.model_copy(update={"ideas": (), "questions": (), "recipe": None})
    headings = [line for line in page(other, runs()).splitlines() if line.startswith("#")]
    assert headings == ["### Every arm", "### By corpus, at the end", "### Costs", "### Not run"]
    own = study.model_copy(update={"ideas_heading": "My ideas"})
    assert "### The questions" in page(own, runs())
    assert "| 4 | experts | - | no arm |" in page(own, runs())
    assert "| 5 | RoPE | - | not run |" in page(own, [])
    of_idea_5 = [dataclasses.replace(item, idea=5) if item.arm == "rope" else item for item in runs()]
    assert "| 5 | RoPE | rope: -0.1233 ±" in page(own, of_idea_5).split("### My ideas")[1]


def test_every_row_of_a_table_has_the_cells_of_its_head(study):
    items = runs(run("squeezed", 1, 2.0), run("lr_x6", 1, 0, state="diverged"))
    text = page(study, items)
    for table in [part for part in text.split("\n\n") if part.startswith("|")]:
        assert len({line.count("|") for line in table.splitlines()}) == 1


def test_arms_of_equal_cost_share_a_row_with_their_speed_beside_the_baselines(study):
    items = runs(*(run("gate", seed, end, flops=20e6) for seed, end in BASE.items()))
    speed = {"baseline": 1000.0, "rope": 1000.0, "gate": 250.0}
    costs = page(study, items, speed).split("### Costs")[1].split("###")[0]
    assert "| `baseline`, `rope` | 600,000 | 200,000 | 600,000 | 0.00M | 1,000 | 1.00 |" in costs
    assert "| `gate` | 600,000 | 200,000 | 600,000 | 20.00M | 250 | 0.25 |" in costs


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


def test_the_page_keeps_what_people_wrote_around_the_tables(tmp_path):
    page = tmp_path / "results.md"
    page.write_text(f"# Mine\n\n{BEGIN}\nold\n{END}\n\nmy own words\n")
    write_page(page, "new")
    write_page(page, "newer")
    assert page.read_text() == f"# Mine\n\n{BEGIN}\n\nnewer\n\n{END}\n\nmy own words\n"
    page.write_text("nothing")
    with pytest.raises(StudyError, match="marks"):
        write_page(page, "new")


def test_summaries_of_arms_become_rows_in_the_studys_order(study):
    seed = {
        "state": "finished",
        "parameters": {"total": 3, "embedding": 1, "active": 2},
        "steps": 1,
        "tokens": 10,
        "vocab_size": 7,
        "bytes_per_token": 2.0,
        "flops_per_token": 5,
        "tokens_per_second": None,
        "bits_per_byte": {"all": 1.0},
        "curve": [{"tokens": 10, "all": 1.1, "books": 2.0}],
    }
    result = RunResult.read(seed)
    found = collect(study.design(), {"rope": {2: result}, "baseline": {1: result}})
    assert [(item.arm, item.seed, item.idea) for item in found] == [("baseline", 1, 0), ("rope", 2, 5)]
    assert found[1].curve == [(10, 1.1)]
