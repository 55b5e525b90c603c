"""What the one GPT is made of: every idea of the project as a switch that can be turned alone.

Free of torch, so that the pipeline can embed it in a profile and check it before anything heavy is imported. A
`ModelConfig` that exists is valid: whatever does not fit (heads that do not divide the width, a switch without its
settings) is refused when it is made (pydantic's ValidationError; `ConfigError` from `from_dict`), naming the setting.

The defaults are the project's own recipe (RoPE, RMSNorm, QK-norm, SwiGLU, gated attention, no biases, tied
embeddings); `GPT2` is GPT-2 to the last bit.
"""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from trainer.model.sections import MoEConfig, Recurrence, RopeScaling
from trainer.settings import (
    STRICT_KEYS,
    BelowOne,
    Count,
    PartOf,
    Positive,
    Whole,
    from_mapping,
    later,
    turned,
)

Canon = Literal["A", "B", "C", "D"]
WIDTH_MULTIPLE = 64  # what matrix units like: widths worked out for the user are rounded to it


@dataclass(frozen=True, config=STRICT_KEYS)
class ModelConfig:
    """One GPT. Widths are in features, `context` in tokens."""

    vocab_size: Count
    context: Count = 1024
    """Longest sequence, and the length trained at."""
    width: Count = 768
    layers: Count = 12
    """Layers a token passes. With sharing, `layers / repeats` of them have weights of their own."""
    heads: Count = 6
    kv_heads: Count | None = None
    """Key and value heads, a divisor of `heads` (grouped-query attention); none: `heads`."""
    ff_width: Count | None = None
    """Hidden width of the MLP; none: 4 widths, or 8/3 of one rounded up to a multiple of 64 for swiglu."""

    position: Literal["learned", "rope"] = "rope"
    norm: Literal["layernorm", "rmsnorm"] = "rmsnorm"
    mlp: Literal["gelu", "gelu_erf", "swiglu", "relu2", "moe"] = "swiglu"
    attention_input: Literal["3n", "4n"] = "4n"
    """`3n`: q, k, v. `4n`: also a sigmoid gate on the attention's output, before its projection."""
    qk_norm: bool = True
    bias: bool = False
    """Biases in the block's projections and, with layernorm, in the norms."""
    tied: bool = True
    """The output projection is the token embedding."""
    embedding_width: Count | None = None
    """Factorised embeddings (ALBERT): tokens embed at this width, then go up to `width`; none: at `width`."""
    repeats: Count = 1
    """Layer sharing: the block of `layers / repeats` layers runs this many times."""
    dropout: BelowOne = 0.0
    """Where GPT-2 has it: on embeddings, attention weights and both outputs of a block. Drawn per sequence."""
    init: Literal["gpt2", "xavier", "kaiming", "scaled"] = "gpt2"
    """Of the blocks' matrices; `scaled` is N(0, 1/sqrt(fan in)) with zero output projections."""
    norm_eps: Positive = 1e-5
    rope_base: Positive = 10_000.0
    rope_scaling: RopeScaling | None = None
    moe: MoEConfig | None = None
    """Of `mlp: moe`; none: `MoEConfig`'s defaults."""

    smear: bool = later(False)
    """Each embedding takes in a learned, gated share of that of the token before (modded-nanogpt)."""
    canon: tuple[Canon, ...] = later(())
    """Short causal depthwise convolutions beside a residual (Allen-Zhu 2025): `A` on the attention's input, `B` on q, k
    and v, `C` on the MLP's input, `D` within it, before the activation."""
    canon_width: Count = later(4)
    """Tokens that a convolution of `canon` reads, its own included."""
    residual_scalars: bool = later(False)
    """Each layer is given the residual stream times a learned number, which begins at 1."""
    x0_scalars: bool = later(False)
    """Each layer is also given the stream's start, the embeddings, times a learned number, which begins at 0."""
    value_embeddings: Literal["none", "table", "shared", "projected"] = later("none")
    """What is added to attention's values by token id, gated by head: rows of a `table` for each layer or of one
    `shared` by all, or what the embeddings become when `projected`, without a table."""
    value_layers: Literal["alternate", "all"] = later("alternate")
    """Layers with `value_embeddings`; `alternate`: every other one, the last included."""
    value_residual: bool = later(False)
    """Each layer's values are mixed with the first layer's, by a learned share that begins at a half."""
    bigram_rows: Count | None = later(None)
    """Rows of a table of embeddings for hashed pairs of a token and the one before it; none: no such table."""
    bigram_width: Count | None = later(None)
    """Width of that table, from which a matrix leads up to `width`; none: `width`."""
    unet: bool = later(False)
    """The second half of the layers is also given what the first half's put out, the last of it first, each times a
    learned number, which begins at 1."""
    head_gate: bool = later(False)
    """Each head's output is scaled by a gate on the layer's input, which begins at 1."""
    qk_gain: Positive | None = later(None)
    """What queries are multiplied with after `qk_norm`; none: 1."""
    learned_qk_gain: bool = later(False)
    """That gain is learned, one for each head, and begins at `qk_gain`."""
    rope_share: PartOf = later(1.0)
    """Share of each head's features that RoPE turns; the others tell nothing of positions."""
    key_offset: bool = later(False)
    """Features of keys that RoPE does not turn are those of the token before, so that one layer finds what came after
    an earlier occurrence (modded-nanogpt's partial key offset)."""
    parallel_residual: bool = later(False)
    """The MLP reads what attention reads, each by its own norm, rather than attention's result (GPT-J, GPT-NeoX)."""
    recurrence: Recurrence | None = later(None)
    """Layers in the middle that run again; see `training.recurrence_from`."""
    window: Count | None = later(None)
    """Tokens that a token sees in layers of short attention, itself included; none: all attention is long."""
    window_pattern: Annotated[str, Field(pattern="^[SL]+$")] = later("SSSL")
    """Which layers have short attention (S) and which long (L), over and over; the last one's is long (nanochat)."""
    predict_ahead: Whole = later(0)
    """Tokens beyond the next that training predicts, too, each by a matrix of its own before the output projection that
    all share. Nothing but training uses them; an export leaves them out."""
    ahead_weight: Positive = later(0.5)
    """What the loss of the first of these counts; each next one counts as much less."""
    logit_cap: Positive | None = later(None)
    """Bounds logits softly: cap * tanh(logits / cap); none: they have no bound."""

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError(f"heads ({self.heads}) must divide width ({self.width})")
        if self.heads % self.key_value_heads:
            raise ValueError(f"kv_heads ({self.kv_heads}) must divide heads ({self.heads})")
        if self.layers % self.repeats:
            raise ValueError(f"repeats ({self.repeats}) must divide layers ({self.layers})")
        if self.embedding_width is not None and not self.tied:
            raise ValueError("embedding_width is set but tied is false; factorised embeddings are tied")
        self._check_position()
        if self.moe is not None and self.mlp != "moe":
            raise ValueError(f"moe is set but mlp is {self.mlp!r}; set mlp to 'moe' or leave moe out")
        if self.mlp == "moe" and self.expert_width < 8:
            raise ValueError(f"ff_width ({self.dense_ff_width}) leaves less than 8 for each of moe.top_k experts")
        self._check_layers()
        self._check_mixing()

    def _check_position(self) -> None:
        if self.position == "learned":
            if self.rope_scaling is not None:
                raise ValueError("rope_scaling is set but position is 'learned'; set position to 'rope'")
            if self.rope_share != 1:
                raise ValueError("rope_share is set but position is 'learned'; set position to 'rope'")
        elif self.head_width % 2:
            raise ValueError(f"position 'rope' needs an even head width; width/heads is {self.head_width}")
        elif self.rotated_width < 2:
            raise ValueError(f"rope_share ({self.rope_share}) leaves RoPE no features of {self.head_width} a head")
        if self.key_offset and self.rotated_width == self.head_width:
            raise ValueError("key_offset moves the features that RoPE leaves alone: set rope_share below 1")

    def _check_layers(self) -> None:
        if (self.qk_gain is not None or self.learned_qk_gain) and not self.qk_norm:
            raise ValueError("qk_gain and learned_qk_gain follow qk_norm, which is false")
        if self.window_pattern != "SSSL" and self.window is None:
            raise ValueError("window_pattern is set but window is not; set it or leave window_pattern out")
        if self.ahead_weight != 0.5 and not self.predict_ahead:
            raise ValueError("ahead_weight is set but predict_ahead is 0; set it or leave ahead_weight out")
        if self.predict_ahead >= self.context:
            raise ValueError(f"predict_ahead ({self.predict_ahead}) must be below context ({self.context})")
        if self.unet and self.layers < 2:
            raise ValueError(f"unet joins two halves of the layers, but layers is {self.layers}")
        if self.recurrence is not None and self.repeats > 1:
            raise ValueError(f"recurrence is set but repeats is {self.repeats}; layers run again by one of them")
        if self.recurrence is not None and self.recurrence.last >= self.layers:
            raise ValueError(f"recurrence.last ({self.recurrence.last}) must be below layers ({self.layers})")

    def _check_mixing(self) -> None:
        if list(self.canon) != sorted(set(self.canon)):
            raise ValueError(f"canon names each place once, in the order of the alphabet, found {list(self.canon)}")
        if self.canon_width != 4 and not self.canon:
            raise ValueError("canon_width is set but canon names no place; set canon or leave canon_width out")
        if "D" in self.canon and self.mlp == "moe":
            raise ValueError("canon has D, within the MLP, but mlp is 'moe'; leave D out")
        if self.value_layers != "alternate" and self.value_embeddings == "none":
            raise ValueError("value_layers is set but value_embeddings is 'none'; set it or leave value_layers out")
        if self.bigram_rows is None and self.bigram_width is not None:
            raise ValueError("bigram_width is set but bigram_rows is not; set it or leave bigram_width out")
        if self.bigram_rows == 1:
            raise ValueError("bigram_rows must be at least 2, found 1: the last is for tokens with none before them")

    @property
    def head_width(self) -> int:
        return self.width // self.heads

    @property
    def key_value_heads(self) -> int:
        return self.heads if self.kv_heads is None else self.kv_heads

    @property
    def activation(self) -> Literal["gelu", "gelu_erf", "swiglu", "relu2"]:
        """That of the MLP, or of each expert."""
        return self.experts.activation if self.mlp == "moe" else self.mlp

    @property
    def experts(self) -> MoEConfig:
        """The settings of `mlp: moe`, defaults filled in."""
        return self.moe or MoEConfig()

    @property
    def dense_ff_width(self) -> int:
        """The MLP's hidden width, or that of the MoE's dense twin."""
        if self.ff_width is not None:
            return self.ff_width
        if self.activation == "swiglu":
            return -(-self.width * 8 // (3 * WIDTH_MULTIPLE)) * WIDTH_MULTIPLE
        return 4 * self.width

    @property
    def expert_width(self) -> int:
        """Hidden width of one expert."""
        moe = self.experts
        if moe.expert_width is not None:
            return moe.expert_width
        return self.dense_ff_width // (moe.top_k + moe.shared_expert) // 8 * 8

    @property
    def unique_layers(self) -> int:
        """Layers with weights of their own."""
        return self.layers // self.repeats

    @property
    def order(self) -> tuple[int, ...]:
        """Which of the layers with weights of their own runs, run by run."""
        once = tuple(range(self.unique_layers)) * self.repeats
        if self.recurrence is None:
            return once
        first, end = self.recurrence.first, self.recurrence.last + 1
        return once[:end] + once[first:end] * self.recurrence.times + once[end:]

    @property
    def reruns(self) -> range:
        """The runs of `order` that are there by `recurrence` alone."""
        if self.recurrence is None:
            return range(0)
        end = self.recurrence.last + 1
        return range(end, end + (end - self.recurrence.first) * self.recurrence.times)

    @property
    def rotated_width(self) -> int:
        """Features of each head that RoPE turns, an even number."""
        return int(self.head_width * self.rope_share) // 2 * 2 if self.position == "rope" else 0

    @property
    def mixes_neighbours(self) -> bool:
        """Whether anything but attention reads other tokens than its own."""
        return bool(self.smear or self.canon or self.bigram_rows or self.key_offset)

    def is_windowed(self, layer: int) -> bool:
        """Whether the layer of this number among those with weights of their own has short attention."""
        short = self.window_pattern[layer % len(self.window_pattern)] == "S"
        return self.window is not None and short and layer != self.unique_layers - 1

    def has_value_embedding(self, layer: int) -> bool:
        """Whether the layer of this number among those with weights of their own has a value embedding."""
        chosen = self.value_layers == "all" or (self.unique_layers - 1 - layer) % 2 == 0
        return self.value_embeddings != "none" and chosen

    @classmethod
    def from_dict(cls, data: object, where: str = "model") -> ModelConfig:
        """Strict: raises `ConfigError` naming every unknown key, with the nearest known one, and every wrong value."""
        return from_mapping(cls, data, where)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values, those at their default left out that were no switches at first; `from_dict` gives an
        equal configuration."""
        is_turned = turned(self)
        return {name: value for name, value in dataclasses.asdict(self).items() if is_turned.get(name, True)}


GPT2 = ModelConfig(
    vocab_size=50257,
    context=1024,
    width=768,
    layers=12,
    heads=12,
    position="learned",
    norm="layernorm",
    mlp="gelu",
    attention_input="3n",
    qk_norm=False,
    bias=True,
    dropout=0.0,  # GPT-2 trained with 0.1; at one epoch dropout only costs
)
"""GPT-2 124M (Radford et al. 2019)."""
