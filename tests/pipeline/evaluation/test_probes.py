"""Probes find a mechanism where there is one, and nothing where there is none: on models written by hand."""

import math

import pytest
import torch

from pipeline.base.errors import NotPossibleError
from pipeline.evaluation.loading import Scorer
from pipeline.evaluation.probes import CUE, PHRASE, brackets, copying, induction, recall
from pipeline.evaluation.scores.paired import Scored, paired
from pipeline.evaluation.suites.probes import ProbesSuite, evaluate_probes
from pipeline.evaluation.suites.suite import SuiteInputs, evaluate_suite

VOCABULARY, EOT = 300, 299


class Letters:
    """A tokenizer of a token a character."""

    vocab_size, eot_id, content_hash = VOCABULARY, EOT, "letters"

    def encode(self, text):
        return [ord(letter) for letter in text]


class Rule(torch.nn.Module):
    """A model that is sure of what a function of the tokens so far says, and finds all tokens equally likely where it
    says nothing."""

    def __init__(self, rule):
        super().__init__()
        self.rule = rule

    def hidden(self, ids_BT):
        hidden = torch.zeros(*ids_BT.shape, VOCABULARY)
        for row, ids in enumerate(ids_BT.tolist()):
            for place in range(len(ids)):
                if (said := self.rule(ids[: place + 1])) is not None:
                    hidden[row, place, said] = 20.0
        return hidden

    def logits(self, hidden):
        return hidden


def what_followed(ids):
    """Induction: what came after the same token before."""
    *before, last = ids
    return ids[before.index(last) + 1] if last in before else None


def what_is_open(ids):
    """The closer of the innermost open bracket."""
    stack = []
    for token in ids:
        if chr(token) in "([{":
            stack.append(token)
        elif stack and chr(token) in ")]}":
            stack.pop()
    return ord(")]}"["([{".index(chr(stack[-1]))]) if stack else None


def scores(rule, tmp_path):
    suite = ProbesSuite(items=3, distances=(8, 16, 500), pairs=(4,), depths=(1, 2))
    result = evaluate_probes(Scorer(Rule(rule), Letters(), context=64), suite, tmp_path)
    return result, {score.name: score.value for score in result.scores}


def test_a_model_that_copies_has_induction_and_recall_and_no_brackets(tmp_path):
    result, found = scores(what_followed, tmp_path)
    for name in ("induction", "induction 2x", "copying 8", "copying 16", "recall 4"):
        assert found[f"{name}/acc"] == 1.0
    assert found["induction/bits"] == pytest.approx(math.log2(VOCABULARY), abs=0.01)
    assert found["recall 4/bits"] == pytest.approx(20 / math.log(2), abs=0.01)
    assert found["brackets 1/acc"] < 1
    assert list(result.details.remarks()) == [
        ("probes", "copying 500: a probe of 508 different tokens needs more than 299 in all")
    ]


def test_a_model_that_counts_brackets_closes_the_innermost_and_does_not_copy(tmp_path):
    _, found = scores(what_is_open, tmp_path)
    assert (found["brackets 1/acc"], found["brackets 2/acc"]) == (1.0, 1.0)
    assert found["induction/bits"] == pytest.approx(0.0, abs=1.0)
    assert found["recall 4/acc"] < 1


def test_a_model_that_knows_nothing_gains_nothing_and_ties_are_not_right(tmp_path):
    _, found = scores(lambda ids: None, tmp_path)
    assert {value for name, value in found.items() if name.endswith("bits")} == {0.0}
    for name in ("recall 4", "brackets 1", "brackets 2"):
        assert found[f"{name}/acc"] == 0.0


def test_what_is_asked_for_is_where_the_probe_says(tmp_path):
    (item,) = induction(50, 49, items=1, length=5, seed="a")
    assert item.ids[item.first : item.first + 4] == item.ids[item.again : item.again + 4] == item.ids[2:6]
    assert (item.ids[0], len(set(item.ids))) == (49, 6)
    (item,) = copying(50, 49, items=1, distance=7, seed="a")
    assert item.ids[item.first : item.first + CUE] == item.ids[item.again :]
    assert item.again - item.first == PHRASE + 7
    (choice,) = recall(50, 49, items=1, pairs=3, seed="a")
    assert choice.prompt[1 + 2 * choice.right] == choice.prompt[-1]
    assert choice.choices[choice.right] == (choice.prompt[2 + 2 * choice.right],)
    items = list(brackets(Letters().encode, EOT, items=9, depth=2, seed="a"))
    assert sorted(item.right for item in items) == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    texts = ["".join(map(chr, item.prompt[1:])) for item in items]
    assert all(sum(text.count(mark) for mark in "([{") == 3 for text in texts)
    assert all(sum(text.count(mark) for mark in ")]}") == 1 for text in texts)


def test_the_same_seed_asks_the_same_and_two_models_are_paired_by_what_they_were_asked(
    model_folder, tokenizer_folder, tmp_path
):
    scored = []
    for name, seed in (("one", 1), ("two", 1), ("three", 2)):
        (tmp_path / name).mkdir()
        suite = ProbesSuite(items=4, seed=seed)
        result = evaluate_suite(suite, model_folder, tokenizer_folder, SuiteInputs(), tmp_path / name)
        scored.append(Scored(result, tmp_path / name))
    one, two, three = scored
    assert one.result.content_hash == two.result.content_hash != three.result.content_hash
    score = one.result.scores[1]
    assert score.name == "induction/bits"
    assert paired(score, score, one.values(score), two.values(score)).p_value == 1.0
    assert one.values(score).keys != three.values(score).keys
    assert "copying 256" in {item.task for item in one.result.scores}
    assert [note for _, note in one.result.details.remarks()] == [
        "induction past the context: not with learned positions, nor with fewer tokens than the context",
        "copying 1024: a probe of 1032 different tokens needs more than 383 in all",
    ]


def test_a_tokenizer_that_tells_no_brackets_apart_is_named():
    with pytest.raises(NotPossibleError, match="three kinds of brackets apart"):
        list(brackets(lambda text: [7], EOT, items=1, depth=1, seed="a"))
