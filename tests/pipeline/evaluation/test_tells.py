"""What a score can tell: by the table where a row covers it, by its error over items where none does."""

import csv
import math
from pathlib import Path

import pytest

from pipeline.base.errors import EvaluationError
from pipeline.evaluation.results import Details, Score, finish
from pipeline.evaluation.scores.scorecard import build_scorecard, read_scorecard
from pipeline.evaluation.scores.tells import Known, read_table, what_it_tells
from pipeline.reporting.scores import score_rows, tells_words

DOCS = Path(__file__).parents[3] / "docs"
ROW = Known("s", "arc", "acc", 400_000, 600_000, 100, 7, 21, noise=0.02, signal=0.04, kept=True, pairs=17, of_pairs=17)


def known(**changes):
    return Known(**{**vars(ROW), **changes})


def arc(value=0.4, count=100, metric="acc", stderr=0.05):
    return Score("arc", metric, value, stderr, count)


def word(score, *rows, parameters=500_000, chance=0.25):
    found = what_it_tells(score, parameters, chance, rows)
    return found and found.word


def test_a_covered_metric_tells_differences_from_two_standard_errors_of_one_over_seeds():
    found = what_it_tells(arc(), 500_000, 0.25, [ROW])
    assert (found.word, found.least_difference) == ("differences", pytest.approx(2 * math.sqrt(2) * 0.02))
    assert "21 runs of 7 recipes" in found.because


def test_less_signal_than_noise_tells_nothing_and_another_order_than_bits_per_byte_something_else():
    assert word(arc(), known(kept=False)) == "noise"
    assert word(arc(), known(pairs=12)) == "other_order"
    assert word(arc(), known(pairs=13)) == "differences"  # 0.76 of 17
    assert word(arc(), known(pairs=2, of_pairs=7)) == "differences"  # too few to say


@pytest.mark.parametrize(
    ("score", "parameters", "covered"),
    [
        (arc(), 200_000, True),
        (arc(), 199_999, False),
        (arc(), 1_200_000, True),
        (arc(), 1_200_001, False),
        (arc(), None, False),
        (arc(count=50), 500_000, True),
        (arc(count=49), 500_000, False),
        (arc(count=201), 500_000, False),
        (arc(metric="acc_norm"), 500_000, False),
    ],
)
def test_a_row_covers_models_and_items_within_a_factor_of_two(score, parameters, covered):
    assert (word(score, known(kept=False), parameters=parameters) == "noise") == covered


def test_of_several_rows_that_of_most_runs_counts():
    assert word(arc(), known(kept=False), known(runs=198)) == "differences"


def test_without_a_row_the_error_over_items_says_whether_it_is_more_than_guessing():
    assert word(arc(0.35)) == "guessing"
    assert word(arc(0.36)) == "differences"
    assert word(arc(0.13)) == "differences"  # worse than guessing is no guessing
    assert word(arc(0.35), chance=None) == "differences"
    assert what_it_tells(arc(), None, 0.25, []).least_difference == pytest.approx(2 * math.sqrt(2) * 0.05)
    assert word(arc(stderr=None)) is None


def test_the_table_holds_what_the_studies_found():
    for study, folder in (("study", "results"), ("signal", "signal"), ("ladder", "ladder")):
        with (DOCS / folder / "signal.csv").open() as file:
            highest = [
                row for row in csv.DictReader(file) if row.get("rung", "0") == "0"
            ]  # lower rungs: as large models
        found = {(row["of"], row["metric"]): row for row in highest}
        rows = [row for row in read_table() if row.study == study and row.task != "english"]
        assert len(rows) == len([key for key in found if key[1] != "bits per byte"])
        for row in rows:
            there = found[row.task, row.metric]
            assert row.noise == pytest.approx(float(there["noise"]), rel=1e-5)
            assert (row.pairs, row.of_pairs, str(row.kept)) == (
                *map(int, (there["pairs"], there["of_pairs"])),
                there["kept"],
            )
    with (DOCS / "ladder" / "signal.csv").open() as file:
        sizes = {row["least_parameters"]: row["noise"] for row in csv.DictReader(file) if row["of"].startswith("all ")}
    of_ladder = {
        str(row.least_parameters): row.noise for row in read_table() if row.study == "ladder" and row.task == "english"
    }
    assert of_ladder == pytest.approx({size: float(noise) for size, noise in sizes.items()}, rel=1e-5)


@pytest.fixture
def scored(tmp_path):
    """A sample-sized model's HellaSwag of 100 items: its accuracy is noise there, its right answers are not."""
    finish(
        tmp_path,
        "lm_eval",
        [
            Score("hellaswag", "acc_norm", 0.3, 0.046, 100, shots=0),
            Score("hellaswag", "answer_bits_per_byte", 2.0, 0.03, 100, higher_is_better=False, shots=0),
            Score("hellaswag", "answer_margin", -0.19, 0.03, 100, shots=0),
            Score("odd", "perplexity", 9.0, None, 100, higher_is_better=False),
        ],
        Details(),
        seconds=1.0,
    )
    return tmp_path


def test_the_scorecard_says_beside_every_score_what_it_can_tell(scored):
    build_scorecard({"hs": scored}, {}, scored, model={"parameters": {"total": 644_160}})
    card = read_scorecard(scored)
    assert [row["can tell"] for row in score_rows(card.rows)] == [
        "nothing (noise)",
        "differences of 0.088",
        "another order",
        None,
    ]
    large = build_scorecard({"hs": scored}, {}, scored, model={"parameters": {"total": 124_000_000}})
    assert [tells_words(row) for row in large.rows[:2]] == ["nothing (guessing)", "differences of 0.085"]


def test_scores_that_are_noise_can_be_left_out_and_are_named(scored):
    model = {"parameters": {"total": 644_160}}
    card = build_scorecard({"hs": scored}, {}, scored, model=model, leave_out_noise=True)
    assert [row.metric for row in card.rows] == ["answer_bits_per_byte", "answer_margin", "perplexity"]
    assert "less signal than noise in them: hellaswag acc_norm" in card.notes[-1]


def test_a_table_that_is_none_is_named(tmp_path):
    (tmp_path / "t.csv").write_text("study,task\nx,y\n")
    with pytest.raises(EvaluationError, match=r"t\.csv: not a table of signal and noise"):
        read_table(tmp_path / "t.csv")
