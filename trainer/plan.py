"""`python -m trainer plan`: what a run will take, before anything runs.

In: a run's settings; its shards need not exist yet where `training.max_steps` says how long it is. Out: parameters,
FLOPs, memory of a device, steps, and hours and cost on each kind of hardware at an assumed MFU.

Memory is an estimate of what stays (weights, gradients, optimizer state, average: all float32) and of the activations
of one micro-batch, counted by the tensors the blocks keep for their backward pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from trainer.config import RunConfig
from trainer.data.reader import SequenceReader
from trainer.data.shards import check_vocabulary
from trainer.errors import ConfigError, DataError
from trainer.model.config import ModelConfig
from trainer.run.figures.hardware import HARDWARE
from trainer.run.figures.summary import ParameterCounts

FLOAT = 4  # bytes
LOSS_BYTES = 512 << 20  # the loss's chunk of float32 logits on a GPU, at most


@dataclass(frozen=True)
class HardwarePlan:
    """What the run takes on devices of one kind."""

    name: str
    hours: float
    cost: float
    """Of all devices, at the price the settings give or a typical one."""
    micro_batch: int
    """Sequences a device can compute at once; 0 where not even the model fits."""
    tokens_per_second: float


@dataclass(frozen=True)
class TrainingPlan:
    """What a run takes; its fields are the keys of `plan --json`."""

    parameters: ParameterCounts
    flops_per_token: int
    flops: float
    steps: int
    tokens: int
    sequences_per_batch: int
    devices: int
    mfu: float
    state_bytes: int
    """That stay on a device."""
    activation_bytes_per_sequence: int
    checkpoint_bytes: int
    hardware: tuple[HardwarePlan, ...]


def plan(run: RunConfig, *, devices: int = 1, mfu: float = 0.4) -> TrainingPlan:
    """The figures of a run on `devices` of each kind at `mfu` of their peak.

    Raises `ConfigError` for devices or an MFU that make no sense or a vocabulary that is not the shards', and
    `DataError` where neither the shards nor `training.max_steps` say how long the run is.
    """
    from trainer.model import shape_of
    from trainer.optim.soap_muon import basis_numbers

    training = run.training
    batch = training.sequences_per_batch(run.model.context)
    if not 0 < mfu <= 1:
        raise ConfigError(f"--mfu must be above 0 and at most 1, found {mfu}")
    if not 1 <= devices <= batch:
        raise ConfigError(f"--devices must be from 1 to the {batch} sequences of a batch, found {devices}")
    model = shape_of(run.model)
    parameters, flops_per_token = ParameterCounts(**model.parameter_counts()), model.flops_per_token()
    steps = _steps(run, batch)
    tokens = steps * training.batch_tokens
    flops = float(flops_per_token) * tokens
    state = state_bytes(run, parameters.total)
    if training.optimizer.kind == "soap_muon":
        state += FLOAT * basis_numbers(model)
    per_sequence = activation_bytes(run.model, training.precision)
    share = -(-batch // devices)
    hardware = []
    for item in HARDWARE.values():
        peak = item.float32_tflops if training.precision == "float32" else item.bf16_tflops
        hours = flops / (devices * mfu * peak * 1e12) / 3600
        price = training.price_per_device_hour or item.price_per_hour
        room = item.memory_gib * 2**30 * 0.9 - state - LOSS_BYTES
        hardware.append(
            HardwarePlan(
                name=item.name,
                hours=hours,
                cost=hours * devices * price,
                micro_batch=max(0, min(share, int(room // per_sequence))),
                tokens_per_second=tokens / (hours * 3600),
            )
        )
    return TrainingPlan(
        parameters=parameters,
        flops_per_token=flops_per_token,
        flops=flops,
        steps=steps,
        tokens=tokens,
        sequences_per_batch=batch,
        devices=devices,
        mfu=mfu,
        state_bytes=state,
        activation_bytes_per_sequence=per_sequence,
        checkpoint_bytes=state - FLOAT * parameters.total,
        hardware=tuple(hardware),
    )


def state_bytes(run: RunConfig, parameters: int) -> int:
    """Bytes that stay on a device: weights, gradients, optimizer state, average.

    Muon keeps one float32 a weight where AdamW keeps two; counting two everywhere is at most a quarter too much.
    """
    training = run.training
    copies = 4 + (training.ema_horizon is not None or training.average_share is not None)
    return copies * FLOAT * parameters


def activation_bytes(model: ModelConfig, precision: str) -> int:
    """Bytes that one sequence's forward pass leaves for its backward pass, roughly.

    Per layer and token: the residual stream twice and its norms' inputs in float32, the attention's input projection,
    output and gate product, and the MLP's hidden values, in the autocast type; attention itself keeps no scores. Then
    what the switches that are on keep: a convolution its input, scalars the stream, value embeddings what they add.
    """
    half = FLOAT if precision == "float32" else 2
    projections = (4 if model.attention_input == "4n" else 3) * model.width
    hidden = model.dense_ff_width * (4 if model.activation == "swiglu" else 3)
    convolved = {"A": model.width * FLOAT, "B": projections * half, "C": model.width * FLOAT, "D": hidden * half // 2}
    hidden += 2 * model.width * (model.value_embeddings != "none")
    per_token = 4 * FLOAT * model.width + half * (2 * projections + 4 * model.width + hidden)
    per_token += sum(convolved[place] for place in model.canon)
    per_token += FLOAT * model.width * (model.residual_scalars + model.x0_scalars)
    return model.context * (len(model.order) * per_token + 4 * FLOAT * model.width)


def plan_table(figures: TrainingPlan) -> str:
    """`plan`'s figures for people."""
    counts = figures.parameters
    lines = [
        f"parameters      {counts.total:,} total, {counts.embedding:,} embedding, {counts.active:,} active",
        f"FLOPs           {figures.flops_per_token:.3g} per token, {figures.flops:.3g} in all",
        f"run             {figures.steps:,} steps of {figures.sequences_per_batch:,} sequences, "
        f"{figures.tokens:,} tokens",
        f"memory          {figures.state_bytes / 2**30:.2f} GiB stay on a device, and about "
        f"{figures.activation_bytes_per_sequence / 2**20:,.0f} MiB for each sequence computed at once",
        f"checkpoint      {figures.checkpoint_bytes / 2**30:.2f} GiB",
        "",
        f"{'on ' + str(figures.devices) + ' x':<12}{'hours':>12}{'cost':>10}{'tokens/s':>14}{'micro-batch':>13}"
        f"    (at {figures.mfu:.0%} MFU)",
    ]
    for item in figures.hardware:
        fits = str(item.micro_batch) if item.micro_batch else "too large"
        lines.append(
            f"{item.name:<12}{item.hours:>12,.3f}{item.cost:>10,.2f}{item.tokens_per_second:>14,.0f}{fits:>13}"
        )
    return "\n".join(lines)


def _steps(run: RunConfig, batch: int) -> int:
    most = run.training.max_steps
    try:
        epochs = [Path(path) for path in run.data.epochs]
        reader = SequenceReader(epochs, run.model.context, packed=run.data.packed)
    except DataError as error:
        if most is None:
            raise DataError(f"{error}; or set training.max_steps to plan before the shards are there") from None
        return most
    check_vocabulary(run.model.vocab_size, reader.tokenizer)
    whole = reader.steps(batch)
    return min(whole, most or whole)
