"""The one GPT: embed, run the blocks, norm, project on the vocabulary. Every idea is a switch of `ModelConfig`.

In: token ids. Out: logits, or the loss without ever holding all logits. Read this file, `attention.py` and
`layers.py` and you have read the model; `moe.py`, `rope.py` and `loss.py` hold what their names say.

Always: pre-norm blocks, x + attention(norm(x)) and x + mlp(norm(x)); residuals in float32 under autocast; one
parameter per tensor of the checkpoint, so a tied embedding occurs once.

Shape letters: B batch, T time, C width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from trainer.errors import ConfigError
from trainer.model.attention import Attention, Frame, KVCache, document_mask, document_positions
from trainer.model.config import ModelConfig
from trainer.model.dropout import SequenceDropout
from trainer.model.init import initialize
from trainer.model.layers import MLP, make_norm
from trainer.model.linear import Linear, linear
from trainer.model.loss import IGNORE, cross_entropy_sum
from trainer.model.moe import ExpertLoad, MoE, balance_experts
from trainer.model.rope import rope_tables


class LossParts(NamedTuple):
    """Scalars in nats, both summed or both averaged over the scored tokens."""

    total: Tensor
    """What to go down: the cross-entropy and, with MoE, its balance and z losses."""
    cross_entropy: Tensor
    """What to report; detached."""


class Block(nn.Module):
    """One layer: attention and MLP, each on the norm of the residual stream."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.attention_norm = make_norm(config)
        self.attention = Attention(config)
        self.mlp_norm = make_norm(config)
        self.mlp = MoE(config) if config.mlp == "moe" else MLP(config, config.dense_ff_width, bias=config.bias)

    def forward(self, x_BTC: Tensor, frame: Frame, layer: int) -> Tensor:
        drop = frame.dropout or _identity
        x_BTC = x_BTC + drop(self.attention(self.attention_norm(x_BTC), frame, layer))
        hidden_BTC = self.mlp_norm(x_BTC)
        hidden_BTC = self.mlp(hidden_BTC, frame) if isinstance(self.mlp, MoE) else self.mlp(hidden_BTC)
        return x_BTC + drop(hidden_BTC)


class GPT(nn.Module):
    """See the module. New weights are drawn from torch's global generator, as `config.init` says."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        embedding_width = config.embedding_width or config.width
        self.embed = nn.Embedding(config.vocab_size, embedding_width)
        self.embed_up = Linear(embedding_width, config.width, bias=False) if config.embedding_width else None
        self.positions = nn.Embedding(config.context, config.width) if config.position == "learned" else None
        self.layers = nn.ModuleList(Block(config) for _ in range(config.unique_layers))
        self.final_norm = make_norm(config)
        self.head = None if config.tied else Linear(config.width, config.vocab_size, bias=False)
        initialize(self, config)

    def forward(self, ids_BT: Tensor, *, documents_BT: Tensor | None = None, cache: KVCache | None = None) -> Tensor:
        """Logits (B, T, V) for ids (B, T) of any integer dtype.

        `documents_BT` (see `document_index`) keeps attention and positions within documents. With `cache`, ids
        continue the tokens it holds. Raises `ConfigError` for more tokens than learned positions.
        """
        return self.logits(self.hidden(ids_BT, documents_BT=documents_BT, cache=cache))

    def hidden(
        self,
        ids_BT: Tensor,
        *,
        documents_BT: Tensor | None = None,
        cache: KVCache | None = None,
        positions_BT: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """The final norm's output (B, T, C). Arguments as for `forward`.

        `positions_BT` and `mask` (bool, (B or 1, 1, T, T), True where a token may look) lay a row out in another
        way than one text from left to right, such as several continuations of one prompt side by side.
        """
        frame, positions_BT = self._frame(ids_BT, documents_BT, cache, positions_BT, mask)
        return self._run(ids_BT, positions_BT, frame)

    def _run(self, ids_BT: Tensor, positions_BT: Tensor, frame: Frame) -> Tensor:
        """The final norm's output (B, T, C)."""
        x_BTC = self.embed(ids_BT.long())
        if self.embed_up is not None:
            x_BTC = self.embed_up(x_BTC).to(x_BTC.dtype)
        if self.positions is not None:
            x_BTC = x_BTC + self.positions(positions_BT)
        if frame.dropout is not None:
            x_BTC = frame.dropout(x_BTC)
        for index in range(self.config.layers):  # with sharing, the block of unique layers runs again and again
            x_BTC = self.layers[index % self.config.unique_layers](x_BTC, frame, index)
        if frame.cache is not None:
            frame.cache.advance(ids_BT.shape[1])
        return self.final_norm(x_BTC)

    def logits(self, hidden_BTC: Tensor) -> Tensor:
        """Project hidden states (..., C) on the vocabulary (..., V)."""
        return linear(self._to_head_width(hidden_BTC), self.head_weight)

    def loss(
        self,
        ids_BT: Tensor,
        targets_BT: Tensor,
        *,
        reduction: Literal["sum", "mean"] = "mean",
        documents_BT: Tensor | None = None,
        sequence_seeds_B: Tensor | None = None,
        logit_rows: int | None = None,
    ) -> LossParts:
        """Cross-entropy of targets (B, T) after ids (B, T), in nats; targets of -100 are not scored.

        `sequence_seeds_B` (int64, on the CPU) seeds each sequence's dropout, whatever batch or rank it is computed in;
        none: drawn from the global generator. `logit_rows` is how many tokens' logits are held at once; none: from the
        device. `sum` adds up over micro-batches and ranks, MoE's auxiliary losses included.
        """
        frame, positions_BT = self._frame(ids_BT, documents_BT)
        frame.dropout = self._dropout(ids_BT, sequence_seeds_B)
        hidden_BTC = self._run(ids_BT, positions_BT, frame)
        hidden_NC = self._to_head_width(hidden_BTC).flatten(0, 1)
        targets_N = targets_BT.flatten().long()
        loss = cross_entropy_sum(hidden_NC, self.head_weight, targets_N, logit_rows)
        total = loss + sum(frame.auxiliary)
        if reduction == "mean":
            scored = (targets_N != IGNORE).sum().clamp_min(1)
            return LossParts(total / scored, loss.detach() / scored)
        return LossParts(total, loss.detach())

    @property
    def head_weight(self) -> Tensor:
        """Rows of the output projection (V, embedding width or C): the embedding's, when tied."""
        return self.embed.weight if self.head is None else self.head.weight

    def _to_head_width(self, hidden_BTC: Tensor) -> Tensor:
        """Factorised embeddings: down through the same matrix that led up, so that the product stays tied."""
        return hidden_BTC if self.embed_up is None else linear(hidden_BTC, self.embed_up.weight.T)

    def _frame(
        self,
        ids_BT: Tensor,
        documents_BT: Tensor | None,
        cache: KVCache | None = None,
        positions_BT: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> tuple[Frame, Tensor]:
        """What the layers share, and the positions (1 or B, T)."""
        T, config = ids_BT.shape[1], self.config
        start = 0 if cache is None else cache.length
        if positions_BT is None and config.position == "learned" and start + T > config.context:
            raise ConfigError(f"{start + T} tokens are more than the {config.context} learned positions (context)")
        if documents_BT is not None:
            positions_BT, mask = document_positions(documents_BT), document_mask(documents_BT)
        if positions_BT is None:
            positions_BT = torch.arange(start, start + T, device=ids_BT.device)[None]
        if start and mask is None:
            mask = torch.arange(start + T, device=ids_BT.device) <= positions_BT[0, :, None]
        rope = rope_tables(config, positions_BT) if config.position == "rope" else None
        return Frame(rope, mask, cache), positions_BT

    def _dropout(self, ids_BT: Tensor, seeds_B: Tensor | None) -> SequenceDropout | None:
        if not self.config.dropout or not self.training:
            return None
        seeds = torch.randint(2**62, (ids_BT.shape[0],)) if seeds_B is None else seeds_B
        return SequenceDropout(self.config.dropout, seeds, ids_BT.device)

    def balance_experts(self, all_reduce: Callable[[Tensor], Any] | None = None) -> ExpertLoad:
        """With `mlp: moe`, to be called once an optimizer step: see `trainer.model.moe.balance_experts`."""
        return balance_experts([module for module in self.modules() if isinstance(module, MoE)], all_reduce)

    def forget_expert_load(self) -> None:
        """Drop what was counted since `balance_experts`: of passes that nothing is learned from."""
        for module in self.modules():
            if isinstance(module, MoE):
                module.counts.zero_()

    def parameter_counts(self) -> dict[str, int]:
        """`total`; `embedding`: tokens, positions and an untied head; `active`: what one token uses of the total."""
        total = sum(parameter.numel() for parameter in self.parameters())
        lookups = [self.embed, self.embed_up, self.positions, self.head]
        embedding = sum(p.numel() for module in lookups if module is not None for p in module.parameters())
        idle = sum(_idle_weights(module) for module in self.modules() if isinstance(module, MoE))
        return {"total": total, "embedding": embedding, "active": total - idle}

    def flops_per_token(self, context: int | None = None) -> int:
        """Floating point operations of forward and backward per trained token, by PaLM's rule (Chowdhery et al. 2022,
        appendix B): 6 per weight a token is multiplied with (layers that run again count again, looked-up rows and
        idle experts do not) and 12 * layers * width * context for attention, causality not discounted."""
        matrices = sum(p.numel() for p in self.layers.parameters() if p.ndim >= 2)
        matrices -= sum(_idle_weights(module) for module in self.modules() if isinstance(module, MoE))
        weights = matrices * self.config.repeats + self.head_weight.numel()
        if self.embed_up is not None:
            weights += 2 * self.embed_up.weight.numel()
        return 6 * weights + 12 * self.config.layers * self.config.width * (context or self.config.context)


def _idle_weights(moe: MoE) -> int:
    """Weights of the experts that a token does not reach."""
    experts, settings = moe.experts, moe.settings
    return (experts.input.numel() + experts.output.numel()) // settings.experts * (settings.experts - settings.top_k)


def _identity(x: Tensor) -> Tensor:
    return x
