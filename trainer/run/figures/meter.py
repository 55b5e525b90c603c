"""The clock and the gauges of a run: seconds, speed, FLOPs, memory; for each logged step and for the end."""

from __future__ import annotations

import dataclasses
import math
import sys
import time
from collections.abc import Callable

import torch

from trainer.config import RunConfig
from trainer.data.reader import SequenceReader
from trainer.model import GPT
from trainer.process.ranks import Ranks
from trainer.run.checkpoints.checkpoint import RunState
from trainer.run.figures.hardware import hardware_named, utilisation
from trainer.run.figures.metrics import StepFigures, StepLine
from trainer.run.figures.peak import measured_peak
from trainer.run.ways import Ways

SPEED_STEPS = 50  # tokens/s and time left come from about so many last steps


class RunMeter:
    """Measures one run on one rank; wall clock goes into the run's state, so that it adds up over resumptions."""

    def __init__(
        self,
        config: RunConfig,
        ranks: Ranks,
        bytes_per_token: float,
        model: GPT,
        ways: Ways,
        flops: Callable[[int], float],
    ) -> None:
        """`flops`: that learning from a token takes where sequences are cut into so many pieces."""
        self.config, self.ranks, self.bytes_per_token = config, ranks, bytes_per_token
        self.ways = ways
        self.parameters = model.parameter_counts()
        self.flops_per_token = model.flops_per_token()
        self._flops = flops
        self.device_name = _device_name(ranks.device)
        self.peak_tflops = config.training.peak_tflops or self._known_peak()
        self._clock = time.monotonic()
        self._marks: list[tuple[int, float]] = []

    def headline(self, steps: int, micro_batch: int) -> str:
        """What is about to be trained, in one line."""
        training = self.config.training
        return (
            f"{self.parameters['total']:,} parameters ({self.parameters['embedding']:,} embedding), "
            f"{steps:,} steps of {training.batch_tokens:,} tokens, {self.ranks.world_size} rank(s) on "
            f"{self.device_name}, micro-batch {micro_batch}, {self.ways.words}"
        )

    def start(self) -> None:
        """Begin to count."""
        self._clock = time.monotonic()
        self._marks = []

    def tick(self, state: RunState) -> None:
        """Add the time since the last tick to the state."""
        now = time.monotonic()
        state.seconds += now - self._clock
        state.device_seconds += (now - self._clock) * self.ranks.world_size
        self._clock = now

    def flops(self, sequences: int, pieces: int = 1) -> float:
        """That it takes to learn from so many sequences, each cut into `pieces`, teachers' passes included."""
        return sequences * self.config.model.context * self._flops(pieces)

    def line(self, state: RunState, figures: StepFigures, reader: SequenceReader, first: int, left: float) -> StepLine:
        """The line of metrics.jsonl for the step just done; `first`: its batch's first sequence, `left`: tokens that
        the run goes on for."""
        tokens_per_second = self._speed()
        place = reader.locate(first)
        return StepLine(
            **dataclasses.asdict(figures),
            step=state.step,
            tokens=reader.next_sequence * self.config.model.context,
            bits_per_byte=figures.loss / math.log(2) / self.bytes_per_token,
            tokens_per_second=tokens_per_second,
            mfu=self.mfu(tokens_per_second),
            memory_bytes=peak_memory_bytes(self.ranks.device),
            seconds=state.seconds,
            eta_seconds=left / tokens_per_second,
            epoch=place.epoch,
            stage=place.stage_name,
        )

    def mfu(self, tokens_per_second: float) -> float | None:
        """Model FLOPs utilisation, where the device's peak is known: a GPU's by its name, a CPU's as measured."""
        return utilisation(tokens_per_second, self.flops_per_token, self.ranks.world_size, self.peak_tflops)

    def mark(self, tokens: int, state: RunState) -> None:
        """Remember when so many tokens were done; the first step of this process, which may have compiled, is not
        timed."""
        self._marks.append((tokens, state.step_seconds))
        del self._marks[: -SPEED_STEPS - 1]

    def _speed(self) -> float:
        (first, then), (last, now) = self._marks[0], self._marks[-1]
        if last <= first:  # one step so far, or just rolled back
            return last / max(now, 1e-9)
        return (last - first) / max(now - then, 1e-9)

    def _known_peak(self) -> float | None:
        if self.ranks.device.type == "cpu":
            return measured_peak(self.ranks, self.ways.precision.name)
        hardware = hardware_named(self.device_name)
        if hardware is None:
            return None
        return hardware.bf16_tflops if self.ways.precision.name == "bf16" else hardware.float32_tflops


def peak_memory_bytes(device: torch.device) -> int:
    """The most memory this rank has held: a GPU's allocations, or the process's resident set."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
