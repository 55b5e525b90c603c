"""Tokens a second of every arm on this machine: a few training steps of each in turns, so that slow moments of the
machine are shared by all.

In: a study's arms. Out: `speed.csv`, a row an arm: the median of its turns by the clock and by the processor's time,
one thread, random token ids (speed does not depend on the text). Arms of equal model and optimizer are timed once, and
all arms in one run: rates of two runs are of two different moments of the machine. Arms that learn from others are not
timed: what their teachers' training took has no speed.
"""

from __future__ import annotations

import dataclasses
import json
import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from pipeline.base.settings import identity_of
from pipeline.study.plan import ArmPlan, StudyPlan
from pipeline.study.results.runs_table import write_csv
from trainer.config import TrainingConfig
from trainer.model.config import ModelConfig

COLUMNS: Final = ("arm", "tokens_per_second", "tokens_per_cpu_second", "rounds", "steps_a_round")
SPEED_SETTINGS: Final = (
    "optimizer",
    "batch_tokens",
    "precision",
    "ema_horizon",
    "document_mask",
    "weight_decay",
    "cautious_weight_decay",
    "orthogonalizer",
)
"""Training settings that a step's time depends on."""
END_OF_TEXT: Final = 0


def measure(plan: StudyPlan, steps: int, rounds: int, out: Path) -> None:
    """Time every arm and write `out`."""
    import torch

    torch.set_num_threads(1)
    groups: dict[str, list[str]] = {}
    turns: dict[str, Callable[[int], tuple[float, float]]] = {}
    for arm in map(plan.arm, plan.settings.arms):
        if arm.teachers:
            continue
        model = dataclasses.replace(arm.model, vocab_size=vocabulary_of(plan, arm))
        key = _same_speed(model, arm.training)
        groups.setdefault(key, []).append(arm.name)
        if key not in turns:
            turns[key] = _turn(model, arm.training)
    for turn in turns.values():
        turn(1)
    rates: dict[str, list[tuple[float, float]]] = {key: [] for key in turns}
    for number in range(rounds):
        for key in list(turns) if number % 2 == 0 else list(turns)[::-1]:
            rates[key].append(turns[key](steps))
    rows = {}
    for key, names in groups.items():
        clock, cpu = (statistics.median(values) for values in zip(*rates[key], strict=True))
        figures = {"tokens_per_second": round(clock, 1), "tokens_per_cpu_second": round(cpu, 1)}
        for name in names:
            rows[name] = {"arm": name, **figures, "rounds": rounds, "steps_a_round": steps}
    write_csv(out, COLUMNS, [rows[name] for name in plan.settings.arms if name in rows])


def vocabulary_of(plan: StudyPlan, arm: ArmPlan) -> int:
    """Rows of the arm's vocabulary, from its tokenizer's specification where that says so."""
    from pipeline.tokenization.specs import load_specs, specs_folders

    name = plan.tokenizer_of(arm.data[0])
    spec = load_specs(specs_folders(plan.tokenizers.folder), [name])[name]
    return int(getattr(spec, "vocab_size", None) or arm.model.vocab_size)


def _same_speed(model: ModelConfig, settings: TrainingConfig) -> str:
    training = identity_of(settings)
    return json.dumps([identity_of(model) | {"init": ""}, {name: training.get(name) for name in SPEED_SETTINGS}])


def _turn(model: ModelConfig, training: TrainingConfig) -> Callable[[int], tuple[float, float]]:
    """A function that takes so many steps and returns tokens a second by the clock and by processor time."""
    import torch

    from trainer.model import GPT, document_index
    from trainer.optim import Ema, build_optimizer

    torch.manual_seed(1)
    gpt = GPT(model)
    optimizer = build_optimizer(gpt, training.optimizer)
    ema = Ema(gpt, training.ema_horizon) if training.ema_horizon else None
    sequences = training.sequences_per_batch(model.context)
    ids: Any = torch.randint(model.vocab_size, (sequences, model.context + 1))
    seeds = torch.arange(sequences)

    def turn(steps: int) -> tuple[float, float]:
        clock, cpu = time.perf_counter(), time.process_time()
        for _ in range(steps):
            for rows in range(0, sequences, 16):
                part = slice(rows, rows + 16)
                drawn = seeds[part] if model.dropout else None
                with torch.autocast("cpu", torch.bfloat16, enabled=training.precision == "bf16"):
                    inputs = ids[part, :-1].contiguous()
                    loss = gpt.loss(
                        *(inputs, ids[part, 1:].contiguous()),
                        reduction="sum",
                        sequence_seeds_B=drawn,
                        documents_BT=document_index(inputs, END_OF_TEXT) if training.document_mask else None,
                    ).total
                (loss / training.batch_tokens).backward()
            torch.nn.utils.clip_grad_norm_(gpt.parameters(), training.optimizer.clip_norm or math.inf)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            if model.mlp == "moe":
                gpt.balance_experts()
            if ema is not None:
                ema.update()
        tokens = steps * training.batch_tokens
        return tokens / (time.perf_counter() - clock), tokens / (time.process_time() - cpu)

    return turn
