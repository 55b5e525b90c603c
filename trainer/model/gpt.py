"""The one GPT: embed, run the blocks, norm, project on the vocabulary. Every idea is a switch of `ModelConfig`.

In: token ids. Out: logits, or the loss without ever holding all logits. Read this file, `attention.py` and
`layers.py` and you have read the plain model; `frame.py` is what the layers of a pass share, and every other file holds
the switch or the step that its name says (`stream.py` that of the residuals, `past.py` which token comes before which).

Always: pre-norm blocks, x + attention(norm(x)) and x + mlp(norm(x)); residuals in float32 under autocast; one
parameter per tensor of the checkpoint, so a tied embedding occurs once.

Shape letters: B batch, T time, C width, V vocabulary.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainer.errors import ConfigError
from trainer.model.ahead import Ahead, targets_ahead
from trainer.model.attention import Attention
from trainer.model.bigrams import BigramEmbedding
from trainer.model.blocks import block_mask, by_blocks
from trainer.model.config import Canon, ModelConfig
from trainer.model.distillation import SoftTargets, distilled_sum
from trainer.model.dropout import SequenceDropout
from trainer.model.frame import Frame, KVCache, document_mask, document_positions, window_mask
from trainer.model.init import initialize
from trainer.model.layers import MLP, SideTable, make_norm
from trainer.model.linear import Linear, linear
from trainer.model.loss import IGNORE, cross_entropy_sum, soft_cap
from trainer.model.mixing import ShortConvolution, Smear
from trainer.model.moe import ExpertLoad, MoE, balance_experts
from trainer.model.past import Past
from trainer.model.rope import rope_tables
from trainer.model.stream import Stream


class LossParts(NamedTuple):
    """Scalars in nats, both summed or both averaged over the scored tokens."""

    total: Tensor
    """What to go down: the cross-entropy and, with MoE, its balance and z losses, and those of tokens further ahead."""
    cross_entropy: Tensor
    """What to report; detached."""


class Block(nn.Module):
    """One layer: attention and MLP, each on the norm of the residual stream."""

    def __init__(self, config: ModelConfig, layer: int) -> None:
        """`layer`: its place among the layers with weights of their own."""
        super().__init__()
        self.parallel = config.parallel_residual
        self.attention_norm = make_norm(config)
        self.attention_convolution = _convolution(config, "A")
        self.attention = Attention(config, layer)
        self.mlp_norm = make_norm(config)
        self.mlp_convolution = _convolution(config, "C")
        self.mlp = MoE(config) if config.mlp == "moe" else MLP(config, config.dense_ff_width, bias=config.bias)

    def forward(self, x_BTC: Tensor, frame: Frame, run: int) -> Tensor:
        """`run`: how many layers have run before it, itself included where layers are shared."""
        drop = frame.dropout or _identity
        hidden_BTC = self.attention_norm(x_BTC)
        if self.attention_convolution is not None:
            hidden_BTC = self.attention_convolution(hidden_BTC, frame.past, f"{run} attention input")
        attended_BTC = x_BTC + drop(self.attention(hidden_BTC, frame, run))
        hidden_BTC = self.mlp_norm(x_BTC if self.parallel else attended_BTC)
        if self.mlp_convolution is not None:
            hidden_BTC = self.mlp_convolution(hidden_BTC, frame.past, f"{run} mlp input")
        return attended_BTC + drop(self.mlp(hidden_BTC, frame, run))


class GPT(nn.Module):
    """See the module. New weights are drawn from torch's global generator, as `config.init` says."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.recurs = True
        """Whether `recurrence` acts; a run that begins without it turns it on later."""
        self.window = config.window
        """How far short attention sees; a run may begin with less."""
        embedding_width = config.embedding_width or config.width
        self.embed = nn.Embedding(config.vocab_size, embedding_width)
        self.embed_up = Linear(embedding_width, config.width, bias=False) if config.embedding_width else None
        rows = config.bigram_rows
        self.bigrams = None if rows is None else BigramEmbedding(rows, config.bigram_width, config.width)
        self.smear = Smear(config.width) if config.smear else None
        self.positions = nn.Embedding(config.context, config.width) if config.position == "learned" else None
        self.stream = Stream(config) if config.residual_scalars or config.x0_scalars or config.unet else None
        self.value_table = None
        if config.value_embeddings == "shared":
            self.value_table = SideTable(config.vocab_size, config.key_value_heads * config.head_width)
        self.layers = nn.ModuleList(Block(config, layer) for layer in range(config.unique_layers))
        self.final_norm = make_norm(config)
        self.head = None if config.tied else Linear(config.width, config.vocab_size, bias=False)
        self.ahead = Ahead(config) if config.predict_ahead else None
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
        x_BTC = x0_BTC = self._start(ids_BT.long(), positions_BT, frame)
        if self.value_table is not None:
            frame.value_source = self.value_table(ids_BT.long())
        elif self.config.value_embeddings == "projected":
            frame.value_source = F.rms_norm(x0_BTC, x0_BTC.shape[-1:], eps=self.config.norm_eps)
        outputs: dict[int, Tensor] = {}
        for run, layer in enumerate(self.config.order):  # with sharing, the block of unique layers runs again and again
            if not self.recurs and run in self.config.reruns:
                continue
            if self.stream is not None:
                x_BTC = self.stream(x_BTC, x0_BTC, run, outputs)
            x_BTC = self.layers[layer](x_BTC, frame, run)
            if self.stream is not None and run in self.stream.sources:
                outputs[run] = x_BTC
        if frame.cache is not None:
            frame.cache.advance(ids_BT.shape[1])
        return self.final_norm(x_BTC)

    def _start(self, ids_BT: Tensor, positions_BT: Tensor, frame: Frame) -> Tensor:
        """What the first layer is given (B, T, C)."""
        x_BTC: Tensor = F.embedding(ids_BT, self.embed.weight, sparse=frame.adds_rows)
        if self.embed_up is not None:
            x_BTC = self.embed_up(x_BTC).to(x_BTC.dtype)
        if self.bigrams is not None:
            x_BTC = x_BTC + self.bigrams(ids_BT, frame.past)
        if self.smear is not None:
            x_BTC = self.smear(x_BTC, frame.past)
        if self.positions is not None:
            x_BTC = x_BTC + self.positions(positions_BT)
        return x_BTC if frame.dropout is None else frame.dropout(x_BTC)

    def logits(self, hidden_BTC: Tensor) -> Tensor:
        """Project hidden states (..., C) on the vocabulary (..., V)."""
        logits_BTV = linear(self._to_head_width(hidden_BTC), self.head_weight)
        cap = self.config.logit_cap
        return logits_BTV if cap is None else soft_cap(logits_BTV.float(), cap)

    def loss(
        self,
        ids_BT: Tensor,
        targets_BT: Tensor,
        *,
        reduction: Literal["sum", "mean"] = "mean",
        documents_BT: Tensor | None = None,
        sequence_seeds_B: Tensor | None = None,
        logit_rows: int | None = None,
        soft: SoftTargets | None = None,
    ) -> LossParts:
        """Cross-entropy of targets (B, T) after ids (B, T), in nats; targets of -100 are not scored.

        `sequence_seeds_B` (int64, on the CPU) seeds each sequence's dropout, whatever batch or rank it is computed in;
        none: drawn from the global generator. `logit_rows` is how many tokens' logits are held at once; none: from the
        device. `sum` adds up over micro-batches and ranks, MoE's auxiliary losses included. `soft` is what teachers say
        about the same tokens, of which `distillation` makes a part of the total.
        """
        dropout = self._dropout(ids_BT, sequence_seeds_B)
        blocks = dropout is None and by_blocks(ids_BT.device)
        frame, positions_BT = self._frame(ids_BT, documents_BT, blocks=blocks)
        frame.dropout = dropout
        frame.adds_rows = self.config.tied and ids_BT.device.type == "cpu" and not torch.compiler.is_compiling()
        hidden_BTC = self._run(ids_BT, positions_BT, frame)
        targets_N = targets_BT.flatten().long()
        if soft is None:
            hidden_NC = self._to_head_width(hidden_BTC).flatten(0, 1)
            cap = self.config.logit_cap
            loss = text = cross_entropy_sum(hidden_NC, self.head_weight, targets_N, logit_rows, cap=cap)
        else:
            up = [] if self.embed_up is None else [self.embed_up.weight]
            parameters = [self.head_weight, *up]
            loss, text = distilled_sum(hidden_BTC.flatten(0, 1), self.logits, parameters, targets_N, soft, logit_rows)
        if self.ahead is not None and self.training:
            frame.auxiliary += self._losses_ahead(self.ahead(hidden_BTC), targets_BT, documents_BT, logit_rows)
        total = loss + sum(frame.auxiliary)
        if reduction == "mean":
            scored = (targets_N != IGNORE).sum().clamp_min(1)
            return LossParts(total / scored, text.detach() / scored)
        return LossParts(total, text.detach())

    def _losses_ahead(
        self, ahead: Sequence[Tensor], targets_BT: Tensor, documents_BT: Tensor | None, logit_rows: int | None
    ) -> list[Tensor]:
        """Of the tokens beyond the next, each with its weight, in nats summed over tokens."""
        losses = []
        for number, hidden_BTC in enumerate(ahead, start=1):
            hidden_NC = self._to_head_width(hidden_BTC).flatten(0, 1)
            targets_N = targets_ahead(targets_BT, number, documents_BT).flatten().long()
            loss = cross_entropy_sum(hidden_NC, self.head_weight, targets_N, logit_rows, cap=self.config.logit_cap)
            losses.append(self.config.ahead_weight**number * loss)
        return losses

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
        *,
        blocks: bool = False,
    ) -> tuple[Frame, Tensor]:
        """What the layers share, and the positions (1 or B, T). `blocks`: say where documents' tokens look by blocks
        alone."""
        T, config = ids_BT.shape[1], self.config
        start = 0 if cache is None else cache.length
        past, in_row = Past(), positions_BT is None
        if positions_BT is None and config.position == "learned" and start + T > config.context:
            raise ConfigError(f"{start + T} tokens are more than the {config.context} learned positions (context)")
        if documents_BT is not None:
            positions_BT, mask = document_positions(documents_BT), None if blocks else document_mask(documents_BT)
            past = Past(positions_BT=positions_BT)
        elif config.mixes_neighbours:
            past = Past(cache=cache, positions_BT=positions_BT, mask=mask)
        if positions_BT is None:
            positions_BT = torch.arange(start, start + T, device=ids_BT.device)[None]
        if start and mask is None:
            mask = torch.arange(start + T, device=ids_BT.device) <= positions_BT[0, :, None]
        rope = rope_tables(config, positions_BT) if config.position == "rope" else None
        frame = Frame(ids_BT.long(), rope, mask, cache=cache, past=past)
        if blocks and documents_BT is not None:
            frame.blocks = frame.window_blocks = block_mask(documents_BT)
            if self.window is not None and self.window < T:
                frame.window_blocks = block_mask(documents_BT, self.window)
        elif self.window is not None:
            frame.window = self.window if in_row else None
            frame.window_mask = window_mask(positions_BT, mask, self.window, start + T)
        return frame, positions_BT

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

    def forget_ahead(self) -> None:
        """Drop what `predict_ahead` has for training alone, for good."""
        self.ahead = None
        self.config = dataclasses.replace(self.config, predict_ahead=0, ahead_weight=0.5)

    def parameter_counts(self) -> dict[str, int]:
        """`total`; `embedding`: tables of tokens, bigrams, positions and values, what leads up from them, and an untied
        head; `active`: what one token uses of the total."""
        total = sum(parameter.numel() for parameter in self.parameters())
        tables = [module for module in self.layers.modules() if isinstance(module, SideTable)]
        lookups = [self.embed, self.embed_up, self.bigrams, self.positions, self.value_table, *tables, self.head]
        embedding = sum(p.numel() for module in lookups if module is not None for p in module.parameters())
        idle = sum(_idle_weights(module) for module in self.modules() if isinstance(module, MoE))
        idle += 0 if self.ahead is None else sum(p.numel() for p in self.ahead.parameters())
        return {"total": total, "embedding": embedding, "active": total - idle}

    def flops_per_token(self, context: int | None = None) -> int:
        """Floating point operations of forward and backward per trained token, by PaLM's rule (Chowdhery et al. 2022,
        appendix B): 6 per weight a token is multiplied with (layers that run again count again, looked-up rows and
        idle experts do not) and 12 * layers * width * context for attention, causality not discounted but windows."""
        reruns = () if self.recurs else self.config.reruns
        order = [layer for run, layer in enumerate(self.config.order) if run not in reruns]
        weights = sum(_multiplied_weights(self.layers[layer]) for layer in order)
        weights += sum(_multiplied_weights(module) for module in (self.bigrams, self.smear) if module is not None)
        weights += self.head_weight.numel()
        if self.embed_up is not None:
            weights += 2 * self.embed_up.weight.numel()
        if self.ahead is not None:
            weights += _multiplied_weights(self.ahead) + self.config.predict_ahead * self.head_weight.numel()
        whole = context or self.config.context
        short = whole if self.window is None else min(whole, self.window)
        seen = sum(short if self.config.is_windowed(layer) else whole for layer in order)
        return 6 * weights + 12 * self.config.width * seen


def _multiplied_weights(module: nn.Module) -> int:
    """Weights that a token is multiplied with: matrices' and kernels', but for rows looked up and idle experts."""
    weights = sum(p.numel() for p in module.parameters() if p.ndim >= 2)
    for part in module.modules():
        if isinstance(part, nn.Embedding):
            weights -= part.weight.numel()
        elif isinstance(part, MoE):
            weights -= _idle_weights(part)
    return weights


def _idle_weights(moe: MoE) -> int:
    """Weights of the experts that a token does not reach."""
    experts, settings = moe.experts, moe.settings
    return (experts.input.numel() + experts.output.numel()) // settings.experts * (settings.experts - settings.top_k)


def _convolution(config: ModelConfig, place: Canon) -> ShortConvolution | None:
    return ShortConvolution(config.width, config.canon_width) if place in config.canon else None


def _identity(x: Tensor) -> Tensor:
    return x
