"""The settings of a training run: how to train (`TrainingConfig`), and on what, of what, to where (`RunConfig`).

In: a JSON file or plain mappings. Out: frozen, validated dataclasses, free of torch, so that `pipeline` may embed them
in a profile. Settings made with `runtime()` change how a run is carried out but not what it computes (up to the float
tolerance between numbers of ranks); they never enter a fingerprint. A batch is counted in tokens and fixed, whatever
the ranks and micro-batches that share it: only so do runs on other machines stay comparable.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from trainer.errors import ConfigError
from trainer.mistakes import fields_of
from trainer.model.config import ModelConfig
from trainer.records import parse_json
from trainer.settings import (
    STRICT_KEYS,
    BelowOne,
    Count,
    Names,
    NotNegative,
    Number,
    PartOf,
    Positive,
    Rate,
    Share,
    Whole,
    from_mapping,
    identity_of_fields,
    is_later,
    later,
    runtime,
)


@dataclass(frozen=True, config=STRICT_KEYS)
class OptimizerConfig:
    """What turns gradients into updates. Learning rates are peaks, which the schedule goes up to and down from."""

    kind: Literal["adamw", "muon", "normuon", "soap_muon"] = "adamw"
    """`muon`: Muon for the blocks' matrices, AdamW for everything else; `normuon`: the same with rows of one size;
    `soap_muon`: the same with momentum scaled in its gradients' eigenbasis first."""
    learning_rate: Rate = 3e-3
    """Of every parameter (adamw), or of the blocks' matrices."""
    adam_learning_rate: Rate | None = None
    """With muon, of everything but the blocks' matrices; none: `learning_rate`."""
    betas: tuple[BelowOne, BelowOne] = (0.9, 0.95)
    eps: Positive = 1e-8
    weight_decay: NotNegative = 0.1
    """Decoupled, on matrices only; neither embeddings under muon, nor norms nor biases."""
    cautious_weight_decay: bool = False
    """Decay only where decay and update point the same way."""
    muon_momentum: BelowOne = 0.95
    """Reached from 0.85 over the first 300 steps, Nesterov."""
    clip_norm: Positive | None = 1.0
    """Longest gradient that is left as it is; none: any."""
    embedding_learning_rate: Rate | None = later(None)
    """Of tables of embeddings, a tied one included; none: as everything that AdamW updates."""
    head_learning_rate: Rate | None = later(None)
    """Of the output projection, where it is not tied; none: as everything that AdamW updates."""
    vector_learning_rate: Rate | None = later(None)
    """Of norms, biases and scalars; none: as everything that AdamW updates."""
    orthogonalizer: Literal["newton_schulz", "polar_express"] = later("newton_schulz")
    """Of muon and its kind, in five steps; `polar_express`: singular values nearer to one at the same cost."""
    row_beta: BelowOne = later(0.95)
    """With normuon, what is kept at each step of the mean square of a row's update."""
    soap_beta: BelowOne = later(0.9)
    """With soap_muon, what is kept at each step of covariances and of mean squares in their eigenbasis."""
    soap_every: Count = later(10)
    """With soap_muon, steps between eigenbases; each costs as many as there are matrices, of all their sides."""
    row_floor: NotNegative = later(0.35)
    """With soap_muon, how long a row of the update is at least, as a share of the row of weights; 0: any length."""


@dataclass(frozen=True, config=STRICT_KEYS)
class ScheduleConfig:
    """How learning rates, and what goes with them, change over the run. Steps are whole batches, `batch_tokens` each; a
    share is of them, or of the peak where it says so."""

    kind: Literal["cosine", "wsd"] = "cosine"
    """`wsd`: warm up, stay, then go down linearly over the last `cooldown_share`."""
    warmup_steps: Whole = 20
    cooldown_share: Share = 0.7
    """Share of the steps over which `wsd` goes down."""
    final_share: Share = 0.1
    """The last step's learning rate as a share of the peak."""
    decay: Literal["constant", "to_zero", "with_rate"] = later("constant")
    """How `optimizer.weight_decay` goes: as it is, linearly down to zero at the run's end, or as the learning rate."""
    batch_divisors: tuple[Count, ...] = later(())
    """The batch at first, such as `[4, 2]`: a fourth of `batch_tokens`, then a half, and all after `batch_rise`."""
    batch_rise: PartOf = later(0.5)
    """Share of the run over which `batch_divisors` follow one another, each for as many tokens."""
    context_divisors: tuple[Count, ...] = later(())
    """Sequences at first, such as `[4, 2]`: cut into four, then into two, and whole after `context_rise`."""
    context_rise: PartOf = later(0.5)
    """Share of the run over which `context_divisors` follow one another."""


@dataclass(frozen=True, config=STRICT_KEYS)
class TrainingConfig:
    """How to train."""

    batch_tokens: Count = 8192
    """Tokens of an optimizer step over all ranks; a multiple of the model's context."""
    max_steps: Count | None = None
    """Stop after so many whole batches; none: as many as the epochs hold."""
    max_minutes: Positive | None = None
    """End after so many minutes of training, counted over resumptions; the learning rate comes down in time, whatever
    the machine's speed. The final evaluation is not counted. What comes out depends on the machine."""
    seed: Whole = 1
    optimizer: OptimizerConfig = OptimizerConfig()
    """What turns gradients into updates."""
    schedule: ScheduleConfig = ScheduleConfig()
    """How the learning rates go over the run."""
    ema_horizon: Count | None = None
    """Steps over which the evaluation weights average the trained ones; none: no such average is kept."""
    precision: Literal["auto", "bf16", "float32"] = "auto"
    """`bf16` is autocast: weights and optimizer stay float32. `auto`: the faster one on the machine where the run
    begins, by a layer tried for about a second, which also chooses the micro-batch and between kernels that differ in
    the order of float sums; its checkpoints and its summary say which, and it goes on so."""
    document_mask: bool = False
    """Attention and positions stay within a document."""
    recurrence_from: Share = later(0.0)
    """With `model.recurrence`, how much of the run is behind when its layers begin to run again."""
    window_warmup: Share = later(0.0)
    """With `model.window`, the share of the run over which it grows to its size, in quarters of it."""
    on_bad_loss: Literal["stop", "roll_back"] = "stop"
    """On a loss that is not finite or jumps: end with an error, or go back to the last checkpoint and skip the
    batch."""
    jump_factor: Annotated[Number, Field(gt=1)] | None = 2.0
    """A loss over so many times the running mean of the last 50 steps counts as a jump; none: never."""

    average_share: PartOf | None = later(None)
    """Share of the run, at its end, over whose steps the evaluation weights are the plain mean of the trained ones;
    with `ema_horizon` the exponential one begins there."""

    teacher_weight: Share = later(0.5)
    """With `teacher`: of the loss, how much is the divergence from the teacher's distribution, the rest being the text;
    1: nothing but the teacher."""
    teacher_temperature: Positive = later(1.0)
    """What the logits of both are divided by for that."""

    teacher: Names = runtime(())
    """Finished models of the store to learn from beside the text, each by the name of its profile or its fingerprint;
    the mean of several distributions counts. Theirs must be this model's tokenizer."""
    device: Literal["auto", "cpu", "cuda", "mps"] = runtime("auto")
    micro_batch: Count | None = runtime(None)
    """Sequences a rank computes at once; none: found by itself (tried with `precision: auto`), halved on
    out-of-memory."""
    compile: Literal["auto", "on", "off"] = runtime("auto")
    """torch.compile; `auto`: on a GPU alone. On a CPU it takes a minute before the first step and gains where there are
    many small operations: up to twice the speed for the whole shape at 0.7M parameters, nothing at 14M."""
    checkpoint_every: Count = runtime(200)
    """Steps between checkpoints."""
    keep_checkpoints: Count = runtime(2)
    """Newest checkpoints kept besides the best."""
    evaluate_every: Count | None = runtime(None)
    """Steps between evaluations on held-out documents and multiple-choice items; none: only at the end."""
    evaluate_tokens: Count = runtime(50_000)
    """Held-out tokens of each corpus that an evaluation scores while the run goes on."""
    evaluate_items: Count = runtime(200)
    """Multiple-choice items of each task that such an evaluation scores; at the end, all."""
    final_evaluate_tokens: Count | None = runtime(None)
    """Held-out tokens of each corpus scored at the end; none: all."""
    log_every: Count = runtime(10)
    """Steps between lines of metrics.jsonl."""
    tensorboard: bool = runtime(False)
    """Show the run, with its whole configuration, in `tensorboard/` of its folder."""
    wandb: bool = runtime(False)
    """Show it in Weights & Biases, in the project `squeeze` or WANDB_PROJECT; needs `pip install wandb`."""
    mlflow: bool = runtime(False)
    """Show it in MLflow, in the experiment `squeeze` or MLFLOW_EXPERIMENT_NAME; needs `pip install mlflow`."""
    price_per_device_hour: Number | None = runtime(None)
    """For the summary's cost, in whatever currency it is given."""
    peak_tflops: Positive | None = runtime(None)
    """Of one device at `precision`, for MFU; none: looked up by the device's name, of a CPU measured once."""

    def identity(self) -> dict[str, Any]:
        """The settings that change a run's result, as plain JSON values.

        Flat, as all of them once were: a group's `kind` under the group's name, its other keys beside it. Fingerprints
        and checkpoints are older than the groups, and what was trained before them is found and gone on with.
        """
        flat: dict[str, Any] = {}
        for name, value in identity_of_fields(self).items():
            group = value if name in GROUPS else {"kind": value}
            flat |= {name if key == "kind" else key: item for key, item in group.items()}
        return flat

    @classmethod
    def from_dict(cls, data: object, where: str = "training") -> TrainingConfig:
        """Strict: raises `ConfigError` naming every unknown key, with the nearest known one, and every wrong value."""
        return from_mapping(cls, data, where, MOVED)

    def sequences_per_batch(self, context: int) -> int:
        """Sequences of `context` tokens in a batch; raises `ConfigError` where it does not come out whole."""
        sequences, rest = divmod(self.batch_tokens, context)
        if rest or not sequences:
            raise ConfigError(
                f"training.batch_tokens {self.batch_tokens} must be a multiple of model.context {context}"
            )
        return sequences

    def smallest_batch(self, context: int) -> int:
        """Sequences of the smallest batch of a run, which ranks share out. Raises `ConfigError` as
        `sequences_per_batch`, and where the schedule's divisors do not come out even."""
        sequences = self.sequences_per_batch(context)
        for name, divisors, size, unit in (
            ("batch", self.schedule.batch_divisors, sequences, "sequences"),
            ("context", self.schedule.context_divisors, context, "tokens"),
        ):
            odd = [divisor for divisor in divisors if size % divisor]
            if odd:
                raise ConfigError(
                    f"training.schedule.{name}_divisors: {size} {unit} cannot be cut into {odd[0]} equal parts"
                )
        return sequences // max(self.schedule.batch_divisors, default=1)


GROUPS: Final = {"optimizer": OptimizerConfig, "schedule": ScheduleConfig}
PLACES: Final = {
    name if key == "kind" else key: f"training.{name}.{key}"
    for name, group in GROUPS.items()
    for key in fields_of(group)
}
"""Where the names of `TrainingConfig.identity` that are in a group are written."""
MOVED: Final = {
    flat: place
    for flat, place in PLACES.items()
    if not is_later(fields_of(GROUPS[place.split(".")[1]])[place.split(".")[2]])
}
"""Keys of a training section when it was flat, with their places now."""


def grouped(training: Mapping[str, Any]) -> dict[str, Any]:
    """A training section that was written flat, with its groups: whole files of earlier versions are read so."""
    values: dict[str, Any] = {key: value for key, value in training.items() if key not in MOVED}
    for flat, place in MOVED.items():
        _, name, key = place.split(".")
        values.setdefault(name, {})[key] = training[flat]
    return values


def idle_settings(model: ModelConfig, training: TrainingConfig) -> Iterator[tuple[str, str]]:
    """Settings of `training` that would do nothing to this model: each one's place, and what to do about it."""
    if training.recurrence_from and model.recurrence is None:
        yield "training.recurrence_from", "no layers run again: set model.recurrence, or leave it out"
    if training.window_warmup and model.window is None:
        yield "training.window_warmup", "no attention is short: set model.window, or leave it out"
    if training.optimizer.head_learning_rate is not None and model.tied:
        yield (
            "training.optimizer.head_learning_rate",
            "the output projection is the embedding: set model.tied to false, or training.optimizer."
            "embedding_learning_rate in its place",
        )


@dataclass(frozen=True, config=STRICT_KEYS)
class ValidationData:
    """Held-out documents of one corpus: the `shards.json` of a validation set that holds it."""

    name: str
    path: str


@dataclass(frozen=True, config=STRICT_KEYS)
class ChoiceData:
    """Multiple-choice items of one task: a file as `trainer.scoring.choices` describes it."""

    name: str
    path: str


@dataclass(frozen=True, config=STRICT_KEYS)
class DataConfig:
    """`epochs`: paths of `shards.json`, in the order they are trained on; `validation` and `choices`: what is scored
    every `training.evaluate_every` steps and at the end; `packed`: read the shards' rows of best-fit packing;
    `teachers`: folders of finished runs to learn from."""

    epochs: Annotated[tuple[str, ...], Field(min_length=1)]
    validation: tuple[ValidationData, ...] = ()
    choices: tuple[ChoiceData, ...] = ()
    packed: bool = False
    teachers: tuple[str, ...] = ()


@dataclass(frozen=True, config=STRICT_KEYS)
class RunConfig:
    """Everything `python -m trainer train` needs."""

    model: ModelConfig
    data: DataConfig
    out: str
    training: TrainingConfig = TrainingConfig()

    def __post_init__(self) -> None:
        for place, what in idle_settings(self.model, self.training):
            raise ValueError(f"{place}: {what}")

    @classmethod
    def from_dict(cls, data: object, where: str = "run:") -> RunConfig:
        """Strict, as `TrainingConfig.from_dict`. A top-level `preset` fills what `model` and `training` leave out."""
        if isinstance(data, Mapping) and "preset" in data:
            from trainer.presets import with_preset

            data = with_preset(data, where)
        return from_mapping(cls, data, where, {f"training.{old}": new for old, new in MOVED.items()})

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values; `from_dict` gives an equal configuration."""
        return dataclasses.asdict(self)

    def with_paths(self, change: Callable[[str], str]) -> RunConfig:
        """The same run with every path of a file or folder changed."""
        return dataclasses.replace(
            self,
            out=change(self.out),
            data=dataclasses.replace(
                self.data,
                epochs=tuple(change(epoch) for epoch in self.data.epochs),
                validation=tuple(ValidationData(item.name, change(item.path)) for item in self.data.validation),
                choices=tuple(ChoiceData(item.name, change(item.path)) for item in self.data.choices),
                teachers=tuple(change(teacher) for teacher in self.data.teachers),
            ),
        )


def read_run(path: Path) -> RunConfig:
    """Read a run's JSON file. Relative paths inside it are relative to its folder.

    What the trainer itself wrote before settings had groups is read as well. Raises `ConfigError` naming the file for
    one that is missing, no JSON, or holds settings that do not fit.
    """
    try:
        data = parse_json(path.read_bytes())
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; --config names the run's JSON settings") from None
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror}); --config names the run's JSON settings"
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not JSON: byte {error.start:,} is not UTF-8") from None
    except ValueError as error:
        raise ConfigError(f"{path}: not JSON: {error}") from None
    training = data.get("training") if isinstance(data, dict) else None
    if isinstance(training, dict) and training.keys() >= MOVED.keys():  # all of them: no hand's file, the trainer's own
        data["training"] = grouped(training)
    base = path.resolve().parent
    return RunConfig.from_dict(data, f"{path.name}:").with_paths(lambda given: str(base / given))
