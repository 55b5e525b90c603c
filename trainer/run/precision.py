"""Which precision a run computes in, where its settings leave that to the machine.

In: the settings and the ranks. Out: a `Precision`, the same on every rank. On one processor a product in bf16 takes a
third of the time that it takes in float32, on another twice as long, and no name says which: so a layer of the run's
own shape is tried in both for a moment, by every rank at once. A GPU is asked for its compute capability instead. A
shape is tried once a machine: what was found is kept in the user's cache folder, for the processor, torch, threads and
ranks it was found with, so that a run that is begun again begins as it did.

What was chosen is a fact of the run, which its checkpoints and its summary keep: a run goes on as it began, on
whatever machine.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from trainer.config import RunConfig
from trainer.process.abilities import BF16_SINCE
from trainer.process.machine_notes import note, note_file, noted
from trainer.process.processor import processor_name
from trainer.process.ranks import Ranks

if TYPE_CHECKING:
    from trainer.model.config import ModelConfig

log = logging.getLogger(__name__)

Name = Literal["bf16", "float32"]
NAMES: Final[tuple[Name, ...]] = ("bf16", "float32")
AUTO: Final = "auto"

PASS_FLOPS: Final = 5e9
"""Of one tried pass, at most: a sixteenth of a second on a slow core."""
MOST_TOKENS: Final = 2048
LONGEST: Final = 256
"""Tokens of a tried sequence, at most."""
MOST_VOCABULARY: Final = 2048
SECONDS: Final = 0.5
FEWEST_ROUNDS: Final = 2
MOST_ROUNDS: Final = 9


@dataclass(frozen=True)
class Precision:
    """The precision of a run, with what spoke for it."""

    name: Name
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Of the fastest pass that was tried, by precision, the mean over ranks; empty where none was tried."""

    @property
    def words(self) -> str:
        """Its name for people, with how much faster it is than the other where that was measured."""
        if not self.seconds:
            return self.name
        other = next(seconds for name, seconds in self.seconds.items() if name != self.name)
        return f"{self.name} ({other / self.seconds[self.name]:.2f} times as fast here as the other)"


def choose_precision(config: RunConfig, ranks: Ranks) -> Precision:
    """What `training.precision` says, or for `auto` the faster one here. A collective operation."""
    asked = config.training.precision
    if asked != AUTO:
        return Precision(asked)
    if ranks.device.type == "cuda":
        return Precision("bf16" if ranks.minimum(float(_has_bf16(ranks))) else "float32")
    file = _cache_file(config.model, ranks)
    known = noted(file, NAMES) if ranks.is_first else {}
    if not ranks.broadcast(float(bool(known))):
        fastest = _try_both(config.model, ranks)
        sums = ranks.sum([fastest[name] for name in NAMES])
        known = {name: total / ranks.world_size for name, total in zip(NAMES, sums, strict=True)}
        if ranks.is_first:
            note(file, known)
    seconds: dict[str, float] = {name: ranks.broadcast(known.get(name, 0.0)) for name in NAMES}
    chosen = min(NAMES, key=lambda name: seconds[name])
    if ranks.is_first:
        times = ", ".join(f"{1000 * value:.1f} ms in {name}" for name, value in seconds.items())
        log.debug("precision %s: a layer's pass takes %s (%s)", chosen, times, file)
    return Precision(chosen, seconds)


def _cache_file(model: ModelConfig, ranks: Ranks) -> Path:
    import torch

    depends_on = [
        _tried(model).to_dict(),
        *(processor_name(), torch.__version__, torch.get_num_threads(), ranks.world_size, ranks.device.type),
    ]
    return note_file("precision", depends_on)


def _tried(model: ModelConfig) -> ModelConfig:
    """The model that is tried: one layer of it, over no larger a vocabulary than shows its products."""
    alone: dict[str, Any] = {"layers": 1, "repeats": 1, "unet": False, "recurrence": None}
    return dataclasses.replace(model, **alone, vocab_size=min(model.vocab_size, MOST_VOCABULARY))


def _has_bf16(ranks: Ranks) -> bool:
    import torch

    return torch.version.hip is not None or torch.cuda.get_device_capability(ranks.device) >= BF16_SINCE


def _try_both(model: ModelConfig, ranks: Ranks) -> dict[Name, float]:
    """Seconds of the fastest forward and backward pass in each precision, taken in turns."""
    import torch

    from trainer.model import GPT

    layer = _tried(model)
    state = torch.get_rng_state()
    try:
        torch.manual_seed(0)
        gpt = GPT(layer).to(ranks.device)
    finally:
        torch.set_rng_state(state)
    tokens = int(max(1, min(MOST_TOKENS, PASS_FLOPS // gpt.flops_per_token())))
    length = min(layer.context, LONGEST, tokens)
    rows = max(1, tokens // length)
    ids = torch.randint(layer.vocab_size, (rows, length + 1), generator=torch.Generator().manual_seed(0))
    ids = ids.to(ranks.device)
    seeds = torch.arange(rows, device=ranks.device) if layer.dropout else None

    def seconds(name: Name) -> float:
        """Until its gradients are there, also of a device that works ahead."""
        started = time.perf_counter()
        with torch.autocast(ranks.device.type, torch.bfloat16, enabled=name == "bf16"):
            loss = gpt.loss(ids[:, :-1].contiguous(), ids[:, 1:].contiguous(), sequence_seeds_B=seeds).total
        loss.backward()
        _ = [parameter.grad.sum().item() for parameter in gpt.parameters() if parameter.grad is not None]
        gpt.zero_grad(set_to_none=True)
        return time.perf_counter() - started

    for name in NAMES:
        seconds(name)
    fastest: dict[Name, float] = {}
    began = time.perf_counter()
    for number in range(MOST_ROUNDS):
        for name in NAMES:
            fastest[name] = min(seconds(name), fastest.get(name, float("inf")))
        if number + 1 >= FEWEST_ROUNDS and time.perf_counter() - began > SECONDS:
            break
    return fastest
