"""Multiple-choice items in training: the scores are lm-eval's, whatever batches and ranks share the work."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from trainer.config import ChoiceData  # noqa: E402
from trainer.data.shards import TokenizerRef  # noqa: E402
from trainer.errors import DataError  # noqa: E402
from trainer.model import GPT, ModelConfig  # noqa: E402
from trainer.process.ranks import Ranks  # noqa: E402
from trainer.scoring.choices import (  # noqa: E402
    ChoiceItem,
    ChoiceSet,
    choice_nats,
    read_choices,
    score_choices,
    write_choices,
)
from trainer.scoring.evaluation import ChoiceScore, Evaluation  # noqa: E402

VOCABULARY, CONTEXT = 50, 24
TOKENIZER = TokenizerRef("tokenizer-of-the-tests", VOCABULARY, VOCABULARY - 1, "uint16")


@pytest.fixture(scope="module")
def model() -> GPT:
    torch.manual_seed(0)
    model = GPT(ModelConfig(vocab_size=VOCABULARY, context=CONTEXT, width=32, layers=2, heads=2, ff_width=64))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(6.0)  # or every choice is as likely as another
    return model


@pytest.fixture(scope="module")
def items() -> tuple[ChoiceItem, ...]:
    """Prompts of up to twice the context, some of them the same."""
    draw = random.Random(0)
    some = lambda least, most: tuple(draw.randrange(VOCABULARY) for _ in range(draw.randint(least, most)))  # noqa: E731
    return tuple(
        ChoiceItem(
            prompt=some(1, 2 * CONTEXT),
            choices=(choices := tuple(some(1, 8) for _ in range(4))),
            lengths=tuple(4 * len(choice) + draw.randrange(3) for choice in choices),
            bytes=tuple(5 * len(choice) + draw.randrange(3) for choice in choices),
            answer=draw.randrange(4),
        )
        for _ in range(40)
    )


def test_scores_are_those_of_the_evaluation_suites(model: GPT, items: tuple[ChoiceItem, ...]) -> None:
    pytest.importorskip("lm_eval")
    from pipeline.evaluation.lm_eval.packing import pack, score_rows

    requests = [(None, list(item.prompt), list(choice)) for item in items for choice in item.choices]
    answers = [(0.0, False)] * len(requests)
    with torch.inference_mode():
        score_rows(model, pack(requests, CONTEXT), torch.device("cpu"), answers)
    found = choice_nats(model, items, context=CONTEXT)
    assert found == pytest.approx([-log_likelihood for log_likelihood, _ in answers], rel=1e-4)


def test_accuracies_are_lm_evals(model: GPT, items: tuple[ChoiceItem, ...]) -> None:
    import numpy as np

    nats = np.array(choice_nats(model, items, context=CONTEXT)).reshape(-1, 4)
    gold = np.array([item.answer for item in items])
    acc = np.mean(np.argmax(-nats, axis=1) == gold)
    acc_norm = np.mean(np.argmax(-nats / np.array([item.lengths for item in items]), axis=1) == gold)
    found = score_choices(model, [ChoiceSet("task", items)], context=CONTEXT, ranks=Ranks(0, 1, torch.device("cpu")))[
        "task"
    ]
    assert (found.acc, found.acc_norm, found.items) == (acc, acc_norm, 40)
    right = np.argmax(-nats, axis=1) == gold
    assert found.acc_stderr == pytest.approx(right.std(ddof=1) / np.sqrt(40))


def test_what_is_said_of_a_score_has_an_error_at_every_figure_there_is() -> None:
    before = ChoiceScore(0.25, 0.125, 0.5, 0.0625, 40)
    (said,) = Evaluation(choices={"piqa": before}).lines()
    assert said == "piqa: acc 0.250 ± 0.125, acc_norm 0.500 ± 0.062 of 40 items"
    now = replace(
        before,
        answer_bits_per_byte=3.0,
        answer_bits_per_byte_stderr=0.5,
        answer_margin=-1.0,
        answer_margin_stderr=0.25,
    )
    (said,) = Evaluation(choices={"piqa": now}).lines()
    assert said.endswith("items, right answers 3.0000 ± 0.5000 bits/byte, margin -1.0000 ± 0.2500")


def test_bits_of_the_answers_and_their_margins_are_numpys(model: GPT, items: tuple[ChoiceItem, ...]) -> None:
    import numpy as np

    nats = np.array(choice_nats(model, items, context=CONTEXT)).reshape(-1, 4)
    per_byte = nats / np.log(2) / np.array([item.bytes for item in items])
    gold = np.array([item.answer for item in items])[:, None]
    answers = np.take_along_axis(per_byte, gold, 1)[:, 0]
    wrong = np.where(np.arange(4) == gold, np.inf, per_byte).min(1)
    found = score_choices(model, [ChoiceSet("task", items)], context=CONTEXT, ranks=Ranks(0, 1, torch.device("cpu")))
    score = found["task"]
    for values, name in ((answers, "answer_bits_per_byte"), (wrong - answers, "answer_margin")):
        assert getattr(score, name) == pytest.approx(values.mean())
        assert getattr(score, f"{name}_stderr") == pytest.approx(values.std(ddof=1) / np.sqrt(40))


def test_batches_do_not_change_a_score(model: GPT, items: tuple[ChoiceItem, ...]) -> None:
    alone = choice_nats(model, items, context=CONTEXT, batch_tokens=1)
    assert choice_nats(model, items, context=CONTEXT) == pytest.approx(alone, rel=1e-4)


def test_a_file_reads_back_as_it_was_written(items: tuple[ChoiceItem, ...], tmp_path: Path) -> None:
    path = tmp_path / "task.json"
    write_choices(path, "task", items, TOKENIZER.content_hash)
    (found,) = read_choices([ChoiceData("task", str(path))], TOKENIZER, CONTEXT)
    assert found.items == items
    assert len(found.first_items(3).items) == 3


GOOD = {"prompt": [1], "choices": [[2], [3, 4]], "lengths": [1, 2], "bytes": [2, 3], "answer": 0}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"items": []}, "holds no items"),
        ({"tokenizer": "another"}, "made with tokenizer another"),
        ({"schema": 1}, "schema 1"),
        ({"items": [{**GOOD, "answer": 2}]}, "answer is 2"),
        ({"items": [{**GOOD, "choices": [[2], []]}]}, "none of them empty"),
        ({"items": [{**GOOD, "lengths": [1]}]}, "as many lengths"),
        ({"items": [{**GOOD, "bytes": [1, 0]}]}, "as many bytes above 0"),
        ({"items": [{**GOOD, "choices": [[2] * 25, [3]]}]}, "a choice has 25 tokens, the model sees 24"),
        ({"items": [{**GOOD, "prompt": [50]}]}, "token 50 is outside"),
        ({"items": [{**GOOD, "choices": [[2], [50]]}]}, "token 50 is outside"),
        ({"items": [{**GOOD, "choices": [[2], [-1]]}]}, "token -1 is outside"),
        ({"items": [{**GOOD, "answr": 1}]}, "answr: unknown key; did you mean 'answer'?"),
        ({"items": [{**GOOD, "answer": 2}] * 1000}, "\n  and 980 more; write it anew"),
    ],
)
def test_a_file_that_does_not_fit_is_named(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    path = tmp_path / "task.json"
    good = {"schema": 2, "name": "task", "tokenizer": TOKENIZER.content_hash, "items": [GOOD]}
    path.write_text(json.dumps({**good, **changes}))
    with pytest.raises(DataError, match=r"task\.json") as error:
        read_choices([ChoiceData("task", str(path))], TOKENIZER, CONTEXT)
    assert said in str(error.value)


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere\.json.*data\.choices"):
        read_choices([ChoiceData("task", str(tmp_path / "nowhere.json"))], TOKENIZER, CONTEXT)


def test_an_item_without_a_prompt_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a prompt"):
        ChoiceItem(prompt=(), choices=((1,), (2,)), lengths=(1, 1), bytes=(1, 1), answer=0)
