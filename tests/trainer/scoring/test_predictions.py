"""What a model expected at every token: nats as those of scored documents, entropy as torch has it."""

import numpy as np
import pytest
import torch

from trainer.errors import DataError
from trainer.model import GPT, ModelConfig
from trainer.scoring.documents import score_documents
from trainer.scoring.predictions import predict_documents

EOT = 0
DOCUMENTS = [[5, 9, 3, 3, 60, 1], [], [7] * 40, list(range(1, 30))]


@pytest.fixture(scope="module")
def model() -> GPT:
    torch.manual_seed(1)
    return GPT(ModelConfig(vocab_size=61, context=16, width=32, layers=2, heads=2)).eval()


@pytest.mark.parametrize("batch_tokens", [1, 4096])
def test_nats_are_those_of_the_scored_text_token_by_token(model, batch_tokens):
    found = predict_documents(model, DOCUMENTS, eot_id=EOT, context=16, batch_tokens=batch_tokens)
    text, _ = score_documents(model, DOCUMENTS, eot_id=EOT, context=16)
    assert [len(item.nats) for item in found] == [6, 0, 40, 29]
    assert [item.nats.sum() for item in found] == pytest.approx(text.tolist(), rel=1e-5)


def test_entropy_and_the_likeliest_token_are_those_of_the_models_distribution(model):
    ids = DOCUMENTS[0]
    (found,) = predict_documents(model, [ids], eot_id=EOT, context=16)
    with torch.inference_mode():
        distribution = torch.distributions.Categorical(logits=model(torch.tensor([[EOT, *ids[:-1]]]))[0].float())
    assert found.entropy == pytest.approx(distribution.entropy().numpy(), rel=1e-4)
    assert found.confidence == pytest.approx(distribution.probs.max(dim=-1).values.numpy(), rel=1e-4)
    assert found.right.tolist() == (distribution.probs.argmax(dim=-1).numpy() == np.array(ids)).tolist()


def test_a_token_without_probability_adds_nothing_to_the_entropy():
    class Masked(torch.nn.Module):
        def hidden(self, ids_BT):
            return torch.zeros(*ids_BT.shape, 1)

        def logits(self, hidden_NC):
            return torch.tensor([[0.0, 0.0, -torch.inf]]).expand(len(hidden_NC), 3)

    (found,) = predict_documents(Masked(), [[1, 0]], eot_id=0, context=4)
    assert found.entropy == pytest.approx([np.log(2)] * 2)


def test_a_context_that_holds_nothing_is_refused(model):
    with pytest.raises(DataError, match="at least 2"):
        predict_documents(model, DOCUMENTS, eot_id=EOT, context=1)
