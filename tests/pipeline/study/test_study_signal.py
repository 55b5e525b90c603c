"""Signal and noise of metrics over a study's runs, on figures one can check by eye."""

import dataclasses
import statistics

import pytest
from small_study import BASE, ROPE, results, run, small_study

from pipeline.evaluation.scores.tells import read_table
from pipeline.study.report.signal_table import rows_of, signal_markdown, write_known
from pipeline.study.results.signal import LEAST_RATIO, Share, measures, pooled_deviation, signals, spread_about_lines
from pipeline.study.settings import StudySettings

BENCHMARKS = {  # by arm and seed: the right answers' bits fall as the held-out text's do, accuracy says nothing
    "baseline": {1: (4.0, 0.26), 2: (4.2, 0.24), 3: (4.1, 0.25)},
    "rope": {1: (3.8, 0.25), 2: (4.0, 0.26), 3: (3.9, 0.24)},
    "squeezed": {1: (2.0, 0.24), 2: (2.2, 0.26), 3: (2.1, 0.22)},
}
ENDS = {"baseline": BASE, "rope": ROPE, "squeezed": {1: 2.0, 2: 2.1, 3: 2.05}}


@pytest.fixture(scope="module")
def study():
    return small_study()


@pytest.fixture(scope="module")
def scored(study):
    runs = []
    for arm, seeds in ENDS.items():
        for seed, end in seeds.items():
            bits, share = BENCHMARKS[arm][seed]
            found = {"arc:answer_bits_per_byte": bits, "arc:acc": share, "arc:items": 50.0}
            runs.append(dataclasses.replace(run(arm, seed, end), benchmarks=found))
    return results(study, runs)


def signal_of(scored, group, metric, ladders=(), scores=()):
    return next(
        item
        for item in signals(scored, measures(scored, scores), ladders)
        if (item.group, item.metric) == (group, metric)
    )


def test_noise_is_pooled_within_arms_and_signal_is_what_means_spread_beyond_it(scored):
    found = signal_of(scored, "arc", "answer_bits_per_byte")
    assert found.noise == pytest.approx(0.1)
    assert found.signal == pytest.approx((statistics.variance([4.1, 3.9, 2.1]) - 0.1**2 / 3) ** 0.5)
    assert found.told_apart == pytest.approx(2 * (2 / 3) ** 0.5 * 0.1)
    assert (found.arms, found.runs, found.kept) == (3, 9, True)
    share = signal_of(scored, "arc", "acc")
    assert share.signal == 0.0  # the means are nearer than their noise
    assert (share.ratio, share.kept) == (0.0, False)
    assert LEAST_RATIO == 1.0


def test_a_metric_reproduces_a_verdict_by_its_sign_and_a_tie_reproduces_nothing(scored):
    """Only `squeezed` differs from the baseline in bits per byte, and each of the two others from it."""
    by_bits, by_share = (signal_of(scored, "arc", metric) for metric in ("answer_bits_per_byte", "acc"))
    assert (by_bits.verdicts, by_share.verdicts) == (Share(1, 1), Share(0, 1))
    assert (by_bits.pairs.of, by_bits.pairs.right) == (2, 2)
    assert by_share.pairs == Share(0, 2)
    flat = {arm: dict.fromkeys(seeds, (4.0, 0.25)) for arm, seeds in ENDS.items()}
    rows = [
        {"arm": arm, "seed": seed, "task": "even", "metric": "acc", "value": 0.25, "higher_is_better": True}
        for arm, seeds in flat.items()
        for seed in seeds
    ]
    even = signal_of(scored, "even", "acc", scores=rows)
    assert (even.pairs, even.ratio) == (Share(0, 2), None)


def test_what_suites_said_counts_of_finished_runs_of_the_study_alone(scored):
    row = {"arm": "rope", "seed": "1", "task": "pairs", "metric": "acc", "value": "0.5", "higher_is_better": "True"}
    rows = [row, {**row, "arm": "gone"}, {**row, "seed": "9"}]
    found = next(item for item in measures(scored, rows) if item.group == "pairs")
    assert found.values == {"rope": {1: 0.5}}
    assert found.higher_is_better
    (first, *_) = measures(scored, rows)
    assert first.name == "all held-out text bits per byte"


def test_a_decision_is_one_short_run_of_each_in_the_order_of_the_long_ones(scored):
    ladder = [["rope", "baseline"], ["squeezed", "baseline"]]  # rope stands for a shorter squeezed
    found = signal_of(scored, "arc", "answer_bits_per_byte", ladders=[ladder])
    assert found.decisions == Share(8, 9)  # 4.0 of one is not below the 4.0 of the other
    undecided = signal_of(scored, "arc", "acc", ladders=[[["squeezed", "rope"], ["rope", "baseline"]]])
    assert undecided.decisions == Share(0, 0)  # the long runs are not apart


def test_rungs_have_rows_of_their_own_since_what_longer_runs_gain_is_no_difference_of_recipes(study):
    ends = {
        "baseline": {1: 3.0, 2: 3.1},
        "rope": {1: 2.9, 2: 3.0},
        "gate": {1: 5.0, 2: 5.1},
        "squeezed": {1: 4.9, 2: 5.0},
    }
    scored = results(study, [run(arm, seed, end) for arm, seeds in ends.items() for seed, end in seeds.items()])
    ladder = [["gate", "squeezed"], ["baseline", "rope"]]  # the first two stand for shorter runs of the others
    long, short = (item for item in signals(scored, measures(scored), [ladder]) if item.group == "all held-out text")
    assert (long.rung, short.rung) == (0, 1)
    for rung, mean in ((long, 3.0), (short, 5.0)):
        assert (rung.arms, rung.runs, rung.mean) == (2, 4, pytest.approx(mean))
        assert rung.signal == pytest.approx((0.1**2 / 2 - rung.noise**2 / 2) ** 0.5)  # nothing of the two between them
    assert long.decisions == short.decisions
    (alone,) = (item for item in signals(scored, measures(scored)) if item.group == "all held-out text")
    assert alone.signal > 10 * long.signal


def test_a_reference_on_a_lower_rung_stays_with_what_is_compared_with_it(study):
    arms = {"baseline": 3.0, "rope": 2.0, "squeezed": 1.5}
    scored = results(study, [run(arm, seed, value + seed / 100) for arm, value in arms.items() for seed in (1, 2)])
    ladder = [["baseline"], ["squeezed"]]  # as where a study's baseline has a larger twin
    found = signals(scored, measures(scored), [ladder])
    highest, lowest = (item for item in found if item.group == "all held-out text")
    assert (highest.arms, lowest.arms) == (3, 1)
    assert highest.verdicts.of == 2  # both arms against the baseline


def test_the_table_has_a_summary_a_rung_and_the_rows_of_the_highest(scored, tmp_path):
    ladder = [["rope"], ["squeezed"]]
    found = signals(scored, measures(scored), [ladder])
    text = signal_markdown(found)
    assert text.count("| what a verdict is read from |") == text.count("Models of ") == 2
    assert "| arc | acc | 2 | 6 |" in text  # baseline and squeezed
    assert "| arc | acc | 1 | 3 |" not in text
    assert {(row["rung"], row["arms"]) for row in rows_of(found) if row["of"] == "arc"} == {(0, 2), (1, 1)}
    write_known(tmp_path / "table.csv", "mine", [dataclasses.replace(item, signal=1.0) for item in found])
    rows = [(row.task, row.metric) for row in read_table(tmp_path / "table.csv")]
    assert len(rows) == len(set(rows))  # the lower rung's models are as large
    larger = [
        dataclasses.replace(item, signal=1.0, least_parameters=9**item.rung, most_parameters=9**item.rung)
        for item in found
    ]
    write_known(tmp_path / "sizes.csv", "mine", larger)
    assert len(read_table(tmp_path / "sizes.csv")) == 2 * len(rows)


def test_the_pooled_deviation_needs_two_runs_of_one_arm():
    assert pooled_deviation([[1.0], [2.0]]) is None
    assert pooled_deviation([[1.0, 3.0], [5.0], [2.0, 2.0, 2.0]]) == pytest.approx((2 / 3) ** 0.5)


def test_the_table_sums_up_kinds_of_metrics_without_parts_of_groups(scored):
    rows = [
        {"arm": arm, "seed": seed, "task": task, "metric": "acc", "value": 0.3 + 0.01 * seed, "higher_is_better": True}
        for arm, seeds in ENDS.items()
        for seed in seeds
        for task in ("pairs", "pairs_en")
    ]
    found = signals(scored, measures(scored, rows))
    text = signal_markdown(found)
    (accuracy,) = [line for line in text.splitlines() if line.startswith("| accuracy")]
    assert accuracy.split("|")[2].strip() == "2"  # arc and pairs
    assert "| pairs_en | acc | 3 | 9 | 0.3200 |" in text
    assert {row["of"] for row in rows_of(found)} >= {"all held-out text", "arc", "pairs", "pairs_en"}
    kept = {(row["of"], row["metric"]): row["kept"] for row in rows_of(found)}
    assert kept["all held-out text", "bits per byte"]


def test_a_ladder_has_rungs_of_as_many_recipes_that_are_arms(study):
    values = study.model_dump()
    for ladders, said in (
        ([[["rope"]]], "at least two rungs"),
        ([[["rope"], ["rope", "gate"]]], "the same recipes"),
        ([[["rope"], ["ropes"]]], "ladders, the 1.: there is no arm 'ropes'"),
    ):
        with pytest.raises(ValueError, match=said):
            StudySettings(**{**values, "ladders": ladders})


def test_a_study_replaces_its_own_rows_in_the_table_that_scorecards_read(scored, tmp_path):
    path = tmp_path / "table.csv"
    found = signals(scored, measures(scored))
    for study in ("mine", "yours", "mine"):
        write_known(path, study, found)
    rows = read_table(path)
    assert sorted({row.study for row in rows}) == ["mine", "yours"]
    assert len(rows) == 2 * len([item for item in found if item.metric != "bits per byte" or "all" in item.group])
    (arc,) = [row for row in rows if (row.study, row.task, row.metric) == ("mine", "arc", "answer_bits_per_byte")]
    assert (arc.items, arc.runs, arc.kept, arc.noise) == (50, 9, True, pytest.approx(0.1))
    assert 0 < arc.least_parameters <= arc.most_parameters
    assert {row.task for row in rows if row.metric == "bits_per_byte"} == {"english"}


def test_noise_of_checkpoints_is_about_a_line_and_of_the_last_ones_alone():
    line = [(1.0, 3.0), (2.0, 2.5), (3.0, 2.0)]
    assert spread_about_lines([line]) == pytest.approx(0.0)
    assert spread_about_lines([line[:2], [(1.0, 3.0)] * 4]) is None
    bent = [(0.0, 0.0), (1.0, 3.0), (2.0, 0.0)]  # about the line at 1: -1, 2, -1, with one degree of freedom
    assert spread_about_lines([bent, line]) == pytest.approx((6 / 2) ** 0.5)


def test_held_out_text_has_the_noise_of_its_curve_and_a_benchmark_of_which_one_score_is_known_has_none(study):
    def bent(seed, end):
        at = run("baseline", seed, end)
        early = [(tokens, 9.0 + tokens % 7) for tokens in (100, 200)]  # before the last five, whatever they are
        curve = [(tokens, 2.0 + 0.3 * (number == 2)) for number, tokens in enumerate((2000, 3000, 4000, 5000, 6000))]
        return dataclasses.replace(at, curves={"all": [*early, *curve]}, benchmarks={"arc:acc": 0.25})

    scored = results(study, [bent(1, 3.0), bent(2, 3.1)])
    found = {item.group: item for item in signals(scored, measures(scored))}
    squares = 4 * 0.06**2 + 0.24**2  # about the mean, since the middle one tilts no line
    assert found["all held-out text"].checkpoint_noise == pytest.approx((squares / 3) ** 0.5)
    assert (found["arc"].checkpoint_noise, found["books"].checkpoint_noise) == (None, None)
    text = signal_markdown(list(found.values()))
    assert "| of checkpoints | signal/noise |" in text
    assert "last 5 checkpoints about a straight line" in text


def test_a_study_without_curves_has_no_column_of_checkpoints(study):
    flat = results(study, [dataclasses.replace(run("baseline", seed, 3.0), curves={}) for seed in (1, 2)])
    assert "of checkpoints" not in signal_markdown(signals(flat, measures(flat)))


def test_a_benchmark_has_the_noise_of_the_checkpoints_that_were_scored_and_the_end_alone_is_its_score(scored):
    values = {"2000": 0.2, "4000": 0.5, "6000": 0.2, "": 0.5}
    rows = [
        {"arm": "rope", "seed": "1", "task": "pairs", "metric": "acc", "value": value, "higher_is_better": "True"}
        | {"checkpoint": tokens}
        for tokens, value in values.items()
    ]
    (found,) = [item for item in measures(scored, rows) if item.group == "pairs"]
    assert found.values == {"rope": {1: 0.5}}
    assert found.courses == {("rope", 1): [(2000.0, 0.2), (4000.0, 0.5), (6000.0, 0.2), (8000.0, 0.5)]}
    assert signal_of(scored, "pairs", "acc", scores=rows).checkpoint_noise == pytest.approx(
        spread_about_lines(found.courses.values())
    )
