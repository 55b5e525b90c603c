"""Two models on the same items: the noise of their difference is that of the items' differences."""

import json
import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.base.errors import EvaluationError
from pipeline.evaluation.lm_eval.details import LmEvalDetails
from pipeline.evaluation.lm_eval.item_table import write_items
from pipeline.evaluation.results import Score, SuiteResult, finish
from pipeline.evaluation.scores.noise import judge
from pipeline.evaluation.scores.paired import Scored, mcnemar, paired, same_items
from pipeline.evaluation.scores.scorecard import Earlier, build_scorecard
from pipeline.evaluation.suites.bits_per_byte import BitsPerByteDetails
from pipeline.evaluation.suites.length import Curve, LengthDetails


def sample(number, metrics, text=""):
    return {
        "doc_id": number,
        "doc_hash": f"{text}{number}",
        "target": 0,
        "resps": [[(-1.0, True)]],
        "metrics": list(metrics),
        **metrics,
    }


def tasks(folder, samples, scores, subtasks=None):
    """A finished suite of lm-eval with these items."""
    folder.mkdir()
    write_items(samples, folder / "items.parquet")
    return Scored(finish(folder, "lm_eval", scores, LmEvalDetails(subtasks=subtasks or {}), seconds=0), folder)


def answers(folder, right, text=""):
    """A task of items that are right or wrong."""
    count, value = len(right), sum(right) / len(right)
    score = Score("quiz", "acc", value, math.sqrt(value * (1 - value) / (count - 1)), count, version="1")
    samples = {"quiz": [sample(n, {"acc": float(ok)}, text) for n, ok in enumerate(right)]}
    return tasks(folder, samples, [score])


def test_mcnemar_is_a_fair_coins_two_sided_tail():
    assert mcnemar(0, 0) == 1.0
    assert mcnemar(0, 5) == mcnemar(5, 0) == 2 / 2**5
    assert mcnemar(3, 9) == pytest.approx(2 * (1 + 12 + 66 + 220) / 4096)


def test_a_small_difference_on_the_same_items_is_seen_where_two_samples_would_hide_it(tmp_path):
    right = [n % 3 == 0 for n in range(300)]
    better = [ok or n % 30 == 1 for n, ok in enumerate(right)]  # ten more, and none lost
    a, b = answers(tmp_path / "a", right), answers(tmp_path / "b", better)
    (score, other) = (a.result.scores[0], b.result.scores[0])
    verdict = judge(score, other, a, b)
    assert verdict.within_noise is False
    assert verdict.noise == pytest.approx(np.std(np.array(better) - np.array(right, float), ddof=1) / math.sqrt(300))
    assert abs(other.value - score.value) < 2 * math.hypot(score.stderr, other.stderr)  # noise, were they independent


def test_differences_that_cancel_out_are_noise(tmp_path):
    right = [n % 2 == 0 for n in range(100)]
    swapped = [not ok if n < 9 else ok for n, ok in enumerate(right)]
    a, b = answers(tmp_path / "a", right), answers(tmp_path / "b", swapped)
    assert judge(a.result.scores[0], b.result.scores[0], a, b).within_noise is True


def test_other_items_are_not_compared(tmp_path):
    a, b = answers(tmp_path / "a", [True] * 9), answers(tmp_path / "b", [True] * 9, text="other")
    assert same_items(a.values(a.result.scores[0]), b.values(b.result.scores[0])) is False
    assert judge(a.result.scores[0], b.result.scores[0], a, b).why_not == "other items"


def test_a_group_of_tasks_is_the_mean_of_its_tasks_or_of_all_their_items(tmp_path):
    rng = np.random.default_rng(0)

    def group(name):
        rights = {task: rng.integers(0, 2, size).astype(float) for task, size in (("one", 40), ("two", 160))}
        samples = {task: [sample(n, {"acc": ok}) for n, ok in enumerate(right)] for task, right in rights.items()}
        means = np.mean([right.mean() for right in rights.values()])
        pooled = np.concatenate(list(rights.values())).mean()
        scores = [Score("by_task", "acc", float(means), 0.1, 200), Score("pooled", "acc", float(pooled), 0.1, 200)]
        below = {"by_task": ["one", "two"], "pooled": ["one", "two"]}
        return tasks(tmp_path / name, samples, scores, below), rights

    (a, mine), (b, theirs) = group("a"), group("b")
    errors = [
        paired(score, other, a.values(score), b.values(other)).stderr
        for score, other in zip(a.result.scores, b.result.scores, strict=True)
    ]
    each = [np.var(theirs[task] - mine[task], ddof=1) / len(mine[task]) for task in mine]
    everything = np.concatenate([theirs[task] - mine[task] for task in mine])
    assert errors[0] == pytest.approx(math.sqrt(sum(each)) / 2)
    assert errors[1] == pytest.approx(np.std(everything, ddof=1) / math.sqrt(200))


@pytest.mark.parametrize("metric", ["perplexity", "bits_per_byte"])
def test_perplexities_and_bits_are_paired_in_their_own_unit_by_the_bootstraps_error(tmp_path, metric):
    rng = np.random.default_rng(1)
    sizes = rng.integers(20, 200, 400).astype(float)
    base = rng.normal(-2, 0.5, 400)

    def model(name, shift):
        nats = base + shift + rng.normal(0, 0.05, 400)
        if metric == "perplexity":
            value, kept = math.exp(-nats.mean()), [float(x) for x in nats]
        else:
            value, kept = -(nats * sizes).sum() / sizes.sum() / math.log(2), list(zip(nats * sizes, sizes, strict=True))
        score = Score("text", metric, value, None, 400, higher_is_better=False)
        samples = {"text": [sample(n, {metric: item}) for n, item in enumerate(kept)]}
        return tasks(tmp_path / name, samples, [score]), nats

    (a, mine), (b, theirs) = model("a", 0.0), model("b", 0.02)
    score, other = a.result.scores[0], b.result.scores[0]
    result = paired(score, other, a.values(score), b.values(other))
    draws = rng.integers(0, 400, (2000, 400))
    weights = np.ones(400) if metric == "perplexity" else sizes

    def value(nats):
        mean = (nats * weights)[draws].sum(1) / weights[draws].sum(1)
        return np.exp(-mean) if metric == "perplexity" else -mean / math.log(2)

    assert result.stderr == pytest.approx(np.std(value(theirs) - value(mine)), rel=0.08)
    assert not result.within_noise


def test_bits_per_byte_is_paired_document_by_document(tmp_path, text_row):
    def model(name, nats):
        folder = tmp_path / name
        folder.mkdir()
        columns = {"corpus": ["books"] * 3 + ["web"], "document": [0, 1, 2, 0], "lang": ["en", "en", "fr", "en"]}
        pq.write_table(
            pa.table(columns | {"bytes": [100, 200, 300, 50], "nats_text": nats}), folder / "documents.parquet"
        )
        rows = (
            text_row("books", "books", None, "t"),
            text_row("books/fr", "books", "fr", "f"),
            text_row("english", "english", "en", "e"),
        )
        chosen = {"books": [0, 1, 2], "books/fr": [2], "english": [0, 1, 3]}
        sizes = [100, 200, 300, 50]
        scores = [
            Score(
                name, "bits_per_byte", sum(nats[i] for i in at) / math.log(2) / sum(sizes[i] for i in at), 0.5, len(at)
            )
            for name, at in chosen.items()
        ]
        return Scored(finish(folder, "bits_per_byte", scores, BitsPerByteDetails(rows, 16, 384), seconds=0), folder)

    a, b = model("a", [100.0, 200.0, 300.0, 50.0]), model("b", [99.0, 198.5, 296.5, 49.4])
    verdicts = [judge(x, y, a, b) for x, y in zip(a.result.scores, b.result.scores, strict=True)]
    assert [v.within_noise for v in verdicts] == [False, True, False]  # one document alone has no error of its own
    assert [len(a.values(score).keys) for score in a.result.scores] == [3, 1, 3]


def test_windows_of_other_text_are_not_compared(tmp_path):
    def model(name, text, losses):
        (tmp_path / name).mkdir()
        curve = Curve("rope", 2, [], [], losses)
        score = Score("rope 2x", "loss_in_last_context", sum(losses) / 3, 0.5, 3, higher_is_better=False)
        return Scored(
            finish(tmp_path / name, "length_extrapolation", [score], LengthDetails(16, (curve,), text), seconds=0),
            tmp_path / name,
        )

    a, b, c = model("a", "x", [3.0, 4.0, 5.0]), model("b", "x", [2.9, 3.9, 4.91]), model("c", "y", [3.0, 4.0, 5.0])
    assert judge(a.result.scores[0], b.result.scores[0], a, b).within_noise is False
    assert judge(a.result.scores[0], c.result.scores[0], a, c).why_not == "other held-out text"


def test_an_earlier_model_stands_in_the_scorecard_by_its_items_and_outside_of_its_hash(tmp_path):
    right = [n % 3 == 0 for n in range(300)]
    answers(tmp_path / "now", [ok or n % 30 == 1 for n, ok in enumerate(right)])
    answers(tmp_path / "before", right)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    alone = build_scorecard({"quiz": tmp_path / "now"}, {}, tmp_path / "one")
    earlier = {"sample 1234abcd": Earlier("1234abcd", {"quiz": tmp_path / "before"})}
    card = build_scorecard({"quiz": tmp_path / "now"}, {}, tmp_path / "two", earlier=earlier)
    (comparison,) = card.rows[0].comparisons
    assert (comparison.kind, comparison.better, comparison.within_noise) == ("earlier", True, False)
    assert comparison.noise is not None
    assert card.content_hash == alone.content_hash
    assert json.loads((tmp_path / "two" / "scorecard.json").read_text())["earlier"] == {"sample 1234abcd": "1234abcd"}


@pytest.mark.parametrize(
    ("items", "wrong"),
    [
        ({"task": ["a"], "item": [1]}, "'hash'"),
        ({"task": ["a"], "item": [1], "hash": ["x"], "metrics": [None]}, "NoneType"),
    ],
    ids=["a column is missing", "a value is missing"],
)
def test_items_that_do_not_give_the_score_are_named_with_their_file(tmp_path, items, wrong):
    details = LmEvalDetails()
    pq.write_table(pa.table(items), tmp_path / details.items_file)
    scored = Scored(SuiteResult("hash", "lm_eval", (), details), tmp_path)
    with pytest.raises(EvaluationError, match=f"items.parquet: missing, cut short or damaged .*{wrong}"):
        scored.values(Score("a", "acc", 1.0))
