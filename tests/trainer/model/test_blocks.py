"""Attention by blocks of a mask, as a GPU computes it: the plain mask's numbers, in one graph, without the mask."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch._dynamo.utils import counters  # noqa: E402

from trainer.model import GPT, ModelConfig  # noqa: E402
from trainer.model.frame import document_index  # noqa: E402

SMALL = {"vocab_size": 31, "context": 24, "width": 32, "layers": 2, "heads": 4, "ff_width": 32}


@torch.no_grad()  # on a CPU torch has no gradients of it
def test_blocks_say_what_the_mask_says_in_one_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(2)
    model = GPT(ModelConfig.from_dict({**SMALL, "kv_heads": 2, "window": 5, "window_pattern": "SL"}))
    ids = torch.randint(0, 31, (3, 25), generator=torch.Generator().manual_seed(1))
    ids[:, 7] = ids[0, 15] = 30
    given = (ids[:, :-1], ids[:, 1:].contiguous())
    documents = document_index(given[0], 30)
    expected = model.loss(*given, documents_BT=documents, reduction="sum").total
    assert not torch.isclose(model.loss(*given, reduction="sum").total, expected)
    monkeypatch.setattr("trainer.model.gpt.by_blocks", lambda _: True)
    monkeypatch.setattr("trainer.model.gpt.document_mask", lambda _: pytest.fail("a (T, T) mask was made"))
    torch._dynamo.reset()
    counters.clear()
    loss = torch.compile(model.loss, backend="eager", dynamic=False)
    torch.testing.assert_close(loss(*given, documents_BT=documents, reduction="sum").total, expected)
    assert counters["stats"]["unique_graphs"] == 1
    assert not counters["graph_break"]


def test_dropout_keeps_its_own_attention_and_a_cpu_its_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = torch.randint(0, 31, (2, 9))
    documents = document_index(ids[:, :-1], 30)
    monkeypatch.setattr("trainer.model.gpt.block_mask", lambda *_: pytest.fail("blocks were made"))
    for dropout in (0.0, 0.1):
        monkeypatch.setattr("trainer.model.gpt.by_blocks", lambda _, dropout=dropout: bool(dropout))
        model = GPT(ModelConfig.from_dict({**SMALL, "dropout": dropout}))
        assert model.loss(ids[:, :-1], ids[:, 1:].contiguous(), documents_BT=documents).total.isfinite()
