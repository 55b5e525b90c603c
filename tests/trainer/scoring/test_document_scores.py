"""Scoring whole documents: every token once, nothing through padding or batches, laws that hold for any model."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.errors import DataError
from trainer.model import GPT, ModelConfig
from trainer.scoring.documents import nats_of_targets, score_documents, score_targets, windows_of

EOT = 0


class Uniform(torch.nn.Module):
    """Predicts every token of its vocabulary with the same probability."""

    def __init__(self, vocab_size: int) -> None:
        super().__init__()
        self.vocab_size = vocab_size

    def hidden(self, ids_BT: torch.Tensor) -> torch.Tensor:
        return torch.zeros(*ids_BT.shape, 1)

    def logits(self, hidden_NC: torch.Tensor) -> torch.Tensor:
        return torch.zeros(*hidden_NC.shape[:-1], self.vocab_size)


@pytest.fixture(scope="module")
def model() -> GPT:
    torch.manual_seed(1)
    return GPT(ModelConfig(vocab_size=61, context=16, width=32, layers=2, heads=2)).eval()


@given(tokens=st.integers(0, 200), context=st.integers(2, 40))
def test_every_target_is_scored_exactly_once_with_at_least_half_a_context_before_it(tokens, context):
    scored = []
    for window in windows_of(7, tokens, context):
        assert 1 <= window.length <= context
        targets = range(window.first_scored, window.end)
        scored += targets
        if window.start > 0:
            assert all(target - window.start >= context // 2 - 1 for target in targets)
    assert scored == list(range(tokens + 1))


@settings(deadline=None, max_examples=20)
@given(lengths=st.lists(st.integers(0, 60), min_size=1, max_size=6), batch_tokens=st.sampled_from([1, 16, 64, 4096]))
def test_a_uniform_model_costs_the_logarithm_of_its_vocabulary_for_every_token(lengths, batch_tokens):
    documents = [[1] * length for length in lengths]
    text, closing = score_documents(Uniform(61), documents, eot_id=EOT, context=16, batch_tokens=batch_tokens)
    assert text == pytest.approx([length * math.log(61) for length in lengths], rel=1e-6)
    assert closing == pytest.approx([math.log(61)] * len(lengths), rel=1e-6)


def test_a_document_within_the_context_costs_what_one_plain_forward_pass_says(model):
    ids = [5, 9, 3, 3, 60, 1]
    text, closing = score_documents(model, [ids], eot_id=EOT, context=16)
    with torch.no_grad():
        logprobs = model(torch.tensor([[EOT, *ids]]))[0].log_softmax(-1)
    nats = -logprobs[range(7), [*ids, EOT]]
    assert text[0] == pytest.approx(float(nats[:-1].sum()), abs=1e-5)
    assert closing[0] == pytest.approx(float(nats[-1]), abs=1e-5)


def test_a_long_document_slides_by_half_a_context(model):
    ids = np.random.default_rng(0).integers(1, 61, 30).tolist()
    text, closing = score_documents(model, [ids], eot_id=EOT, context=16)
    sequence = torch.tensor([EOT, *ids, EOT])
    nats = []
    with torch.no_grad():
        for start, first in ((0, 0), (8, 8), (15, 9)):  # the last window ends with the document
            inputs = sequence[start : start + 16]
            logprobs = model(inputs[None])[0].log_softmax(-1)
            targets = sequence[start + 1 : start + 17]
            nats += (-logprobs[range(16), targets])[first:].tolist()
    assert len(nats) == 31
    assert text[0] == pytest.approx(sum(nats[:-1]), abs=1e-4)
    assert closing[0] == pytest.approx(nats[-1], abs=1e-4)


def test_scores_do_not_depend_on_batches_or_on_the_other_documents(model):
    rng = np.random.default_rng(1)
    documents = [rng.integers(1, 61, length).tolist() for length in (0, 3, 50, 17, 16, 15)]
    together = score_documents(model, documents, eot_id=EOT, context=16, batch_tokens=512)
    alone = [score_documents(model, [document], eot_id=EOT, context=16, batch_tokens=1) for document in documents]
    assert together[0] == pytest.approx([text[0] for text, _ in alone], abs=1e-4)
    assert together[1] == pytest.approx([closing[0] for _, closing in alone], abs=1e-4)


def test_the_model_keeps_its_mode(model):
    model.train()
    score_documents(model, [[1, 2]], eot_id=EOT, context=16)
    assert model.training
    model.eval()


def test_a_context_that_cannot_score_anything_is_refused(model):
    with pytest.raises(DataError, match="at least 2"):
        score_documents(model, [[1]], eot_id=EOT, context=1)


def test_nats_alone_are_those_beside_the_likeliest_and_the_likeliest_is_what_greedy_decoding_takes(model):
    hidden_NC = torch.randn(500, 32, generator=torch.Generator().manual_seed(2))
    targets_N = torch.arange(500) % 61
    nats_N, likeliest_N = score_targets(model, hidden_NC, targets_N)
    assert torch.equal(nats_of_targets(model, hidden_NC, targets_N), nats_N)
    assert torch.equal(likeliest_N, model.logits(hidden_NC).argmax(-1) == targets_N)
