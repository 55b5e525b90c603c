"""The clock and the figures of a run: speed, FLOPs, memory, cost; for each logged step and for the end."""

from __future__ import annotations

import hashlib
import math
import sys
import time
from pathlib import Path
from typing import Any

import torch

from trainer.config import RunConfig
from trainer.data.reader import SequenceReader
from trainer.model import GPT
from trainer.process.ranks import Ranks
from trainer.run.checkpoint import EMA_FILE, MODEL_FILE, RunState, file_hash
from trainer.run.hardware import hardware_named, utilisation
from trainer.run.loss_guard import LossGuard
from trainer.scoring.evaluation import Evaluation

SPEED_STEPS = 50  # tokens/s and time left come from about so many last steps


class RunMeter:
    """Measures one run on one rank; wall clock goes into the run's state, so that it adds up over resumptions."""

    def __init__(self, config: RunConfig, ranks: Ranks, bytes_per_token: float, model: GPT) -> None:
        self.config, self.ranks, self.bytes_per_token = config, ranks, bytes_per_token
        self.parameters = model.parameter_counts()
        self.flops_per_token = model.flops_per_token()
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
            f"{self.device_name}, micro-batch {micro_batch}, {training.precision}"
        )

    def start(self, state: RunState) -> None:
        """Begin to count."""
        self._clock = time.monotonic()
        self._marks = []

    def tick(self, state: RunState) -> None:
        """Add the time since the last tick to the state."""
        now = time.monotonic()
        state.seconds += now - self._clock
        state.device_seconds += (now - self._clock) * self.ranks.world_size
        self._clock = now

    def values(
        self, state: RunState, step_values: dict[str, float], reader: SequenceReader, batch: int, steps: int
    ) -> dict[str, Any]:
        """One line of metrics.jsonl."""
        tokens_per_second = self._speed(state)
        place = reader.locate(reader.next_sequence - batch)
        return {
            "step": state.step,
            "tokens": state.step * self.config.training.batch_tokens,
            **step_values,
            "bits_per_byte": step_values["loss"] / math.log(2) / self.bytes_per_token,
            "tokens_per_second": tokens_per_second,
            "mfu": self.mfu(tokens_per_second),
            "memory_bytes": peak_memory_bytes(self.ranks.device),
            "seconds": state.seconds,
            "eta_seconds": (steps - state.step) * self.config.training.batch_tokens / tokens_per_second,
            "epoch": place.epoch,
            "stage": place.stage_name,
        }

    def mfu(self, tokens_per_second: float) -> float | None:
        """Model FLOPs utilisation, where the device's peak is known."""
        return utilisation(tokens_per_second, self.flops_per_token, self.ranks.world_size, self.peak_tflops)

    def content_hash(self, out: Path) -> str:
        """SHA-256 over the final weights' files."""
        files = [out / MODEL_FILE, *([out / EMA_FILE] if (out / EMA_FILE).exists() else [])]
        return hashlib.sha256("\n".join(file_hash(file) for file in files).encode()).hexdigest()

    def mark(self, state: RunState) -> None:
        """Remember when a step was done; the first one of this process, which may have compiled, is not timed."""
        self._marks.append((state.step, state.step_seconds))
        del self._marks[: -SPEED_STEPS - 1]

    def _speed(self, state: RunState) -> float:
        (first, then), (last, now) = self._marks[0], self._marks[-1]
        if last <= first:  # one step so far, or just rolled back
            return state.step * self.config.training.batch_tokens / max(state.step_seconds, 1e-9)
        return (last - first) * self.config.training.batch_tokens / max(now - then, 1e-9)

    def _known_peak(self) -> float | None:
        hardware = hardware_named(self.device_name)
        if hardware is None:
            return None
        return hardware.bf16_tflops if self.config.training.precision == "bf16" else hardware.float32_tflops


def summarise(
    meter: RunMeter,
    state: RunState,
    ended: str,
    evaluated: Evaluation | None,
    guard: LossGuard,
    batch: int,
) -> dict[str, Any]:
    """summary.json, but for the weights' hash. Costs are in whatever currency the price is given."""
    training = meter.config.training
    tokens_per_second = state.step * training.batch_tokens / max(state.step_seconds, 1e-9)
    device_hours = state.device_seconds / 3600
    price = training.price_per_device_hour
    return {
        "state": ended,
        "steps": state.step,
        "skipped_steps": state.skipped_steps,
        "tokens": state.updates * training.batch_tokens,
        "sequences": state.updates * batch,
        "final_train_loss": guard.recent[-1] if guard.recent else None,
        "validation": {} if evaluated is None else evaluated.validation,
        "choices": {} if evaluated is None else evaluated.choices,
        "parameters": meter.parameters,
        "flops": meter.flops_per_token * state.updates * training.batch_tokens,
        "flops_per_token": meter.flops_per_token,
        "seconds": state.seconds,
        "device_hours": device_hours,
        "cost": None if price is None else price * device_hours,
        "tokens_per_second": tokens_per_second,
        "mfu": meter.mfu(tokens_per_second),
        "peak_memory_bytes": peak_memory_bytes(meter.ranks.device),
        "world_size": meter.ranks.world_size,
        "device": meter.device_name,
        "resumed_from": state.resumed_from,
    }


def peak_memory_bytes(device: torch.device) -> int:
    """The most memory this rank has held: a GPU's allocations, or the process's resident set."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
