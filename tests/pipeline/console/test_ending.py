"""The closing lines of a run: what a benchmark says beside its share of right answers."""

from pipeline.console.ending import _scores
from pipeline.evaluation.scores.comparisons import Comparison
from pipeline.evaluation.scores.scorecard import Row


def row(task: str, metric: str, value: float, *beside: Comparison) -> Row:
    return Row(task, task, metric, value, 0.01, 9, metric != "answer_bits_per_byte", comparisons=beside)


def test_a_benchmark_has_its_answers_and_their_margin_beside_its_accuracy() -> None:
    guessing = Comparison("guessing", "chance", 0.25, True, True)
    rows = [row("arc_easy", "acc", 0.27, guessing), row("wikitext", "bits_per_byte", 2.0)]
    rows += [row("arc_easy", "answer_bits_per_byte", 3.125), row("arc_easy", "answer_margin", -0.5)]
    assert [" ".join(words.split()) for _, words in _scores(rows)] == [
        "wikitext 2.000 ± 0.010",
        "arc_easy 0.270 ± 0.010 guessing 0.250 right answers 3.125 ± 0.010 bits/byte, margin -0.500 ± 0.010",
    ]


def test_a_benchmark_without_right_answers_has_its_accuracy_alone() -> None:
    assert [" ".join(words.split()) for _, words in _scores([row("truthfulqa", "acc", 0.3)])] == [
        "truthfulqa 0.300 ± 0.010"
    ]
