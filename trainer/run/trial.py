"""How long a layer of a run's own shape takes on this machine, tried for a moment and kept once a machine.

In: a model, and ways to compute it. Out: seconds of the fastest pass, forward and backward, the mean over ranks, all of
which try at once, as they will compute. The ways take turns, so that what else the machine does meets all of them; and
where a rank has one thread of a CPU, its time is the processor's, which does not count what else runs there.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import torch

from trainer.model import GPT
from trainer.model.kernels import Kernels, computed_by
from trainer.process.machine_notes import note, note_file, noted
from trainer.process.processor import processor_name
from trainer.process.ranks import Ranks
from trainer.run.precision import Name

if TYPE_CHECKING:
    from trainer.model.config import ModelConfig

log = logging.getLogger(__name__)

MOST_VOCABULARY: Final = 2048
FEWEST_ROUNDS: Final = 2
MOST_ROUNDS: Final = 9


def layer_of(model: ModelConfig) -> ModelConfig:
    """One layer of a model, over no larger a vocabulary than shows its products."""
    alone: dict[str, Any] = {"layers": 1, "repeats": 1, "unet": False, "recurrence": None}
    return dataclasses.replace(model, **alone, vocab_size=min(model.vocab_size, MOST_VOCABULARY))


class Layer:
    """A layer and the loss over it, on invented tokens. torch's random numbers are left as they were."""

    def __init__(self, layer: ModelConfig, device: torch.device, *, documents: bool) -> None:
        """`layer`: as `layer_of` makes it; `documents`: whether attention stays within them."""
        state = torch.get_rng_state()
        try:
            torch.manual_seed(0)
            self._gpt = GPT(layer).to(device)
        finally:
            torch.set_rng_state(state)
        self._config, self._device, self._documents = layer, device, documents
        self.flops_per_token = self._gpt.flops_per_token()

    def tries(
        self, rows: int, length: int, clock: Callable[[], float] | None = None
    ) -> Callable[[Name, Kernels, int], float]:
        """What takes a pass over `rows` sequences of `length` tokens, so many of them at once, and returns its
        seconds: until its gradients are there, also of a device that works ahead."""
        now = clock or _clock(self._device)
        generator = torch.Generator().manual_seed(0)
        ids = torch.randint(self._config.vocab_size, (rows, length + 1), generator=generator).to(self._device)

        def seconds(precision: Name, kernels: Kernels, at_once: int) -> float:
            started = now()
            with computed_by(kernels):
                for first in range(0, rows, at_once):
                    self._pass(ids[first : first + at_once], precision)
            _ = [parameter.grad.sum().item() for parameter in self._gpt.parameters() if parameter.grad is not None]
            self._gpt.zero_grad(set_to_none=True)
            return now() - started

        return seconds

    def _pass(self, ids: torch.Tensor, precision: Name) -> None:
        inputs, targets = ids[:, :-1].contiguous(), ids[:, 1:].contiguous()
        seeds = torch.arange(len(ids), device=self._device) if self._config.dropout else None
        documents = torch.zeros_like(inputs) if self._documents else None
        with torch.autocast(self._device.type, torch.bfloat16, enabled=precision == "bf16"):
            parts = self._gpt.loss(inputs, targets, sequence_seeds_B=seeds, documents_BT=documents)
        parts.total.backward()


def _clock(device: torch.device) -> Callable[[], float]:
    alone = device.type == "cpu" and torch.get_num_threads() == 1
    return time.process_time if alone else time.perf_counter


def measured_once(
    kind: str, depends_on: list[Any], names: list[str], ranks: Ranks, tries: Callable[[], Mapping[str, float]]
) -> dict[str, float]:
    """Seconds by name, as `tries` finds them on every rank or as they were found before on this machine for the same
    processor, torch, threads and ranks. A collective operation: every rank gets the same numbers."""
    machine = [processor_name(), torch.__version__, torch.get_num_threads(), ranks.world_size, ranks.device.type]
    file = note_file(kind, [*depends_on, *machine])
    known = noted(file, names) if ranks.is_first else {}
    if not ranks.broadcast(float(bool(known))):
        fastest = tries()
        sums = ranks.sum([fastest[name] for name in names])
        known = {name: total / ranks.world_size for name, total in zip(names, sums, strict=True)}
        if ranks.is_first:
            note(file, known)
    seconds = {name: ranks.broadcast(known.get(name, 0.0)) for name in names}
    if ranks.is_first:
        log.debug("%s: %s (%s)", kind, ", ".join(f"{name} {1000 * seconds[name]:.1f} ms" for name in names), file)
    return seconds


def fastest_of(tries: Mapping[str, Callable[[], float]], most_seconds: float) -> dict[str, float]:
    """Seconds of each one's fastest try, after one that does not count; in turns, for about so long."""
    for attempt in tries.values():
        attempt()
    fastest = dict.fromkeys(tries, float("inf"))
    began = time.perf_counter()
    for number in range(MOST_ROUNDS):
        for name, attempt in tries.items():
            fastest[name] = min(attempt(), fastest[name])
        if number + 1 >= FEWEST_ROUNDS and time.perf_counter() - began > most_seconds:
            break
    return fastest
