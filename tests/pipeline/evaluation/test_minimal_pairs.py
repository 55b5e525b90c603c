"""Minimal pairs from grammar rules: the same for the same seed, well formed on one side alone, ties as wrong."""

import collections
import hashlib
import re

import pytest
from lm_eval.api.model import LM

from pipeline.base.errors import EvaluationError
from pipeline.evaluation.lm_eval.evaluator import evaluate_tasks, quiet, scores_of
from pipeline.evaluation.lm_eval.tasks import load_tasks
from pipeline.evaluation.minimal_pairs.tasks import (
    GROUP,
    LANGUAGES,
    MOST_PAIRS,
    PAIRS_VERSION,
    RULES,
    SUPPLEMENT,
    SUPPLEMENT_GROUP,
    main,
    pairs_of,
    write_tasks,
)
from pipeline.evaluation.suites.minimal_pairs import MinimalPairsSuite
from pipeline.evaluation.suites.suite import SuiteInputs, evaluate_suite

ALL = [(language, phenomenon) for language, rules in LANGUAGES.items() for phenomenon in rules]
OF_SUPPLEMENT = [(SUPPLEMENT, phenomenon) for phenomenon in RULES[SUPPLEMENT]]
GOLDEN = {"1.0": ("348bea12a63750ff", "64186eea910e7734")}


def test_pairs_move_only_with_their_version():
    digests = []
    for rules in (ALL, OF_SUPPLEMENT):
        pairs = [pair for rule in rules for pair in pairs_of(*rule, count=100, seed=1)]
        digests.append(hashlib.sha256(repr(pairs).encode()).hexdigest()[:16])
    assert {PAIRS_VERSION: tuple(digests)} == GOLDEN


@pytest.mark.parametrize(("language", "phenomenon"), ALL)
def test_a_rule_has_as_many_different_pairs_as_may_be_asked_for(language, phenomenon):
    pairs = pairs_of(language, phenomenon, MOST_PAIRS, seed=2)
    assert len(set(pairs)) == MOST_PAIRS
    sentences = {side: {getattr(pair, side) for pair in pairs} for side in ("good", "bad")}
    assert not sentences["good"] & sentences["bad"]
    assert all(text[0].isupper() and text.endswith(".") and "  " not in text for pair in pairs for text in pair)
    if phenomenon in ("word_order", "negation"):
        for good, bad in pairs:
            assert sorted(good.lower().rstrip(".").split()) == sorted(bad.lower().rstrip(".").split())
    else:  # one word apart
        for good, bad in pairs:
            assert sum(a != b for a, b in zip(good.split(), bad.split(), strict=True)) == 1


@pytest.mark.parametrize(("group", "phenomenon"), OF_SUPPLEMENT)
def test_the_supplement_s_pairs_differ_in_what_they_are_about_alone(group, phenomenon):
    pairs = pairs_of(group, phenomenon, MOST_PAIRS, seed=2)
    assert len(set(pairs)) == MOST_PAIRS
    assert not {pair.good for pair in pairs} & {pair.bad for pair in pairs}
    for good, bad in pairs:
        if phenomenon in ("hypernym", "subject_aux_inversion"):  # the same words in another order
            words = [sorted(re.findall(r"\w+", text)) for text in (good, bad)]
            assert words[0] == words[1]
        else:  # the same question, and one word of its answer
            (asked, right), (again, wrong) = good.split("\n"), bad.split("\n")
            assert asked == again
            assert sum(a != b for a, b in zip(right.split(), wrong.split(), strict=True)) == 1


def test_the_supplement_is_scored_beside_the_languages_and_does_not_move_their_figure(
    model_folder, tokenizer_folder, tmp_path
):
    results = []
    for supplement in (False, True):
        out = tmp_path / str(supplement)
        out.mkdir()
        suite = MinimalPairsSuite(languages=("en",), pairs=2, supplement=supplement)
        result = evaluate_suite(suite, model_folder, tokenizer_folder, SuiteInputs(), out)
        results.append({(score.task, score.metric): (score.value, score.count) for score in result.scores})
    plain, with_it = results
    assert plain.items() <= with_it.items()
    assert with_it[SUPPLEMENT_GROUP, "acc"][1] == 5 * 2
    assert {task for task, _ in with_it.keys() - plain.keys()} == {
        SUPPLEMENT_GROUP,
        *(f"{SUPPLEMENT_GROUP}_{phenomenon}" for phenomenon in RULES[SUPPLEMENT]),
    }


def test_another_seed_draws_other_pairs_and_another_language_does_not_move_them():
    first, again, other = (pairs_of("fr", "agreement", 20, seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other


@pytest.mark.parametrize(
    ("language", "phenomenon", "good", "bad"),
    [
        ("en", "binding", "The quiet father watched himself near the river.", "himself -> herself"),
        ("fr", "attractor", "Le prince sans les loups marche sur la colline.", "marche -> marchent"),
        ("es", "adjective", "La bruja está siempre sentada delante de la puerta.", "sentada -> sentado"),
        ("de", "case", "Der König findet den Vogel auf dem Hügel.", "den -> der"),
        ("it", "determiner", "La gallina aspetta nella casa.", "La -> Il"),
    ],
)
def test_one_word_breaks_a_sentence(language, phenomenon, good, bad):
    right, wrong = bad.split(" -> ")
    first = pairs_of(language, phenomenon, 1, seed=1)[0]
    assert first == (good, good.replace(right, wrong, 1))


class Undecided(LM):
    """Finds every sentence equally likely."""

    def loglikelihood(self, requests):
        return [(-1.0, False)] * len(requests)

    def loglikelihood_rolling(self, requests):
        raise NotImplementedError

    def generate_until(self, requests):
        raise NotImplementedError


def test_ties_count_as_wrong(tmp_path):
    write_tasks(tmp_path, ["en", "de"], pairs=3)
    with quiet():
        results = evaluate_tasks(Undecided(), load_tasks([GROUP], include=tmp_path), None)
    scores = {score.name: score.value for score in scores_of(results)}
    assert len(scores) == 1 + 2 + 14
    assert set(scores.values()) == {0.0}


def test_a_suite_scores_phenomena_languages_and_all_of_them(model_folder, tokenizer_folder, tmp_path):
    suite = MinimalPairsSuite(languages=("fr", "it"), pairs=4)
    result = evaluate_suite(suite, model_folder, tokenizer_folder, SuiteInputs(), tmp_path)
    counts = {score.task: score.count for score in result.scores if score.metric == "acc"}
    assert counts[GROUP] == 2 * 7 * 4
    assert counts["minimal_pairs_it"] == 7 * 4
    assert counts["minimal_pairs_fr_adjective"] == 4
    metrics = collections.Counter(score.metric for score in result.scores)
    assert metrics == dict.fromkeys(("acc", "answer_bits_per_byte", "answer_margin"), 1 + 2 + 14)


def test_a_rule_that_has_no_more_pairs_says_so():
    from pipeline.evaluation.minimal_pairs.rules import Pair, draw_pairs

    with pytest.raises(EvaluationError, match="only about 2 different pairs: ask for fewer"):
        draw_pairs(lambda draw: Pair(f"A{draw.number()}.", "B."), 3, "1/xx/none")


def test_the_command_writes_task_files_for_lm_evals_own(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["tasks", str(tmp_path / "tasks")])
    assert main() == 0
    assert "minimal_pairs_de" in capsys.readouterr().out
    assert len(list((tmp_path / "tasks").glob("*.yaml"))) == 1 + 5 + 35 + 1 + 5
    monkeypatch.setattr("sys.argv", ["tasks"])
    assert main() == 1
