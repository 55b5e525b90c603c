"""How a run computes, where its settings leave that to the machine: precision, kernels, sequences at once.

In: the settings and the ranks. Out: `Ways`, the same on every rank. On one processor a product in bf16 takes a third of
the time that it takes in float32, on another twice as long; on one MKL's float32 products are the faster ones, on
another oneDNN's take half their time; and no name says which. So a layer of the run's own shape is tried in each way
for a moment, by every rank at once. A GPU is asked for its compute capability instead.

A precision that the settings name is computed in as it always was (`PLAIN`), whatever the machine. What is chosen is a
fact of the run, which its checkpoints and its summary keep: a run goes on as it began, on whatever machine. A machine
keeps what it found in the user's cache folder, so that a run that is begun again begins as it did; and since the ways
of one precision differ in nothing but the order of float sums, another than the plain one is taken only where it is
clearly faster, and not because the machine had a busy moment.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from trainer.config import RunConfig
from trainer.model.kernels import PLAIN, Kernels
from trainer.process.abilities import BF16_SINCE
from trainer.process.ranks import Ranks
from trainer.run.micro_batch import largest_micro_batch
from trainer.run.precision import AUTO, NAMES, Name, Precision

CLEARLY: Final = 1.1
"""Times as fast as the plain way that another one of the same precision must be."""
PASS_FLOPS: Final = 4e9
"""Of one pass that is tried, at most: a twentieth of a second on a slow core."""
MOST_TOKENS: Final = 1024
LONGEST: Final = 256
"""Tokens of a sequence that kernels are tried on, at most."""
SECONDS: Final = 0.35
MICRO_FLOPS: Final = 1e10
"""Of a layer's pass over a whole micro-batch, at most: products that take longer take as long whatever their rows."""
MICRO_SECONDS: Final = 0.2
FEWEST_AT_ONCE: Final = 512
"""Tokens of the smallest micro-batch that is tried."""


@dataclass(frozen=True)
class Ways:
    """How a run computes, with what spoke for it."""

    precision: Precision
    kernels: Kernels = PLAIN
    micro_batch: int | None = None
    """Sequences that a rank computes at once; none: as many as the device is known to take."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Of the fastest pass that was tried, by way, the mean over ranks; empty where none was tried."""

    @property
    def words(self) -> str:
        """For people: the precision, and what is not plain about it."""
        products = ["products by MKL"] if self.kernels.products != PLAIN.products else []
        attention = ["fused attention"] if self.kernels.attention != PLAIN.attention else []
        return ", ".join([self.precision.words, *products, *attention])


def choose_ways(config: RunConfig, ranks: Ranks) -> Ways:
    """What `training.precision` says and the plain way, or for `auto` what is fastest here. A collective operation."""
    asked = config.training.precision
    if asked != AUTO:
        return Ways(Precision(asked))
    if ranks.device.type == "cuda":
        return Ways(Precision("bf16" if ranks.minimum(float(_has_bf16(ranks))) else "float32"))
    ways = _ways_of_each(config, ranks)
    seconds = _try_kernels(config, ranks, ways)
    best = {name: _clearly_fastest([way for way in ways if ways[way][0] == name], seconds) for name in NAMES}
    chosen = min(NAMES, key=lambda name: seconds[best[name]])
    precision, kernels = Precision(chosen, {name: seconds[best[name]] for name in NAMES}), ways[best[chosen]][1]
    micro_batch, tried = _choose_micro_batch(config, ranks, chosen, kernels)
    return Ways(precision, kernels, micro_batch, {**seconds, **tried})


def _ways_of_each(config: RunConfig, ranks: Ranks) -> dict[str, tuple[Name, Kernels]]:
    """What is tried, by name; of each precision the plain way comes first."""
    from trainer.model.attention import LONGEST_IN_BLOCKS
    from trainer.model.linear import HAS_ONEDNN
    from trainer.run.compiled import compiles

    found: dict[str, tuple[Name, Kernels]] = {name: (name, PLAIN) for name in NAMES}
    if ranks.device.type != "cpu" or compiles(config.training.compile, ranks.device):
        return found
    if config.model.context <= LONGEST_IN_BLOCKS and not config.model.dropout:
        found["bf16 fused"] = ("bf16", Kernels(attention="fused"))
    if HAS_ONEDNN:
        found["float32 mkl"] = ("float32", Kernels(products="mkl"))
    return found


def _try_kernels(config: RunConfig, ranks: Ranks, ways: Mapping[str, tuple[Name, Kernels]]) -> dict[str, float]:
    from trainer.run.trial import Layer, fastest_of, layer_of, measured_once

    documents = config.training.document_mask
    shape = layer_of(config.model)

    def tries() -> Mapping[str, float]:
        layer = Layer(shape, ranks.device, documents=documents)
        tokens = int(max(1, min(MOST_TOKENS, PASS_FLOPS // layer.flops_per_token)))
        length = min(shape.context, LONGEST, tokens)
        rows = max(1, tokens // length)
        attempt = layer.tries(rows, length)
        return fastest_of({name: partial(attempt, *way, rows) for name, way in ways.items()}, SECONDS)

    return measured_once("kernels", [shape.to_dict(), documents], list(ways), ranks, tries)


def _choose_micro_batch(
    config: RunConfig, ranks: Ranks, precision: Name, kernels: Kernels
) -> tuple[int | None, dict[str, float]]:
    """Sequences at once, with the seconds that a layer takes for as many by that, by name; none and nothing where
    there is no choice, or none that would be worth its time."""
    from trainer.run.trial import Layer, fastest_of, layer_of, measured_once

    context = config.model.context
    most = largest_micro_batch(config, ranks.world_size, ranks.device.type)
    sizes = {
        f"{most // part} at once": most // part for part in (1, 2, 4) if (most // part) * context >= FEWEST_AT_ONCE
    }
    if config.training.micro_batch is not None or ranks.device.type != "cpu" or len(sizes) < 2:
        return None, {}
    shape, documents = layer_of(config.model), config.training.document_mask
    layer = Layer(shape, ranks.device, documents=documents)
    if layer.flops_per_token * most * context > MICRO_FLOPS:
        return None, {}

    def tries() -> Mapping[str, float]:
        passes = {name: partial(layer.tries(at, context), precision, kernels, at) for name, at in sizes.items()}
        taken = fastest_of(passes, MICRO_SECONDS)
        return {name: seconds * most / sizes[name] for name, seconds in taken.items()}

    depends_on: list[Any] = [shape.to_dict(), documents, most, precision, kernels.products, kernels.attention]
    seconds = measured_once("micro_batch", depends_on, list(sizes), ranks, tries)
    return sizes[_clearly_fastest(list(sizes), seconds)], seconds


def _clearly_fastest(names: list[str], seconds: Mapping[str, float]) -> str:
    """The first of the names, unless another is faster by more than a busy moment makes."""
    fastest = min(names, key=lambda name: seconds[name])
    return fastest if seconds[fastest] * CLEARLY < seconds[names[0]] else names[0]


def _has_bf16(ranks: Ranks) -> bool:
    import torch

    return torch.version.hip is not None or torch.cuda.get_device_capability(ranks.device) >= BF16_SINCE
