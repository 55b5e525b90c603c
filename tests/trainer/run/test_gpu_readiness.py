"""What a GPU would pay for in silence, counted on a CPU: graphs that break or are compiled twice, and waits for it.

Devices are imitated: the compiler stops before it makes code, and waits are counted on torch's device `meta`, which
computes nothing and has to be asked for every number that is looked at.
"""

from __future__ import annotations

import contextlib
import functools
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

import numpy as np  # noqa: E402
from in_process import go  # noqa: E402
from tiny_shards import EOT, MODEL  # noqa: E402
from torch._dynamo.utils import counters  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

from trainer.config import DataConfig, RunConfig, TrainingConfig  # noqa: E402
from trainer.model import ModelConfig  # noqa: E402
from trainer.process.ranks import Ranks  # noqa: E402
from trainer.run import learner  # noqa: E402
from trainer.run.compiled import CompiledLoss  # noqa: E402

ONE_LAYER = {"layers": 1, "width": 16, "ff_width": 32}


@pytest.fixture(autouse=True)
def fresh_compiler() -> Iterator[None]:
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


@pytest.mark.parametrize(
    ("backend", "model", "training"),
    [
        ("aot_eager", {}, {"document_mask": True}),
        ("eager", {"mlp": "moe", "moe": {"experts": 4, "top_k": 2}, "dropout": 0.1}, {}),
        ("eager", {}, {"schedule": {"batch_divisors": [2], "context_divisors": [2]}}),
        pytest.param(
            "eager",
            {"window": 4, "layers": 3, "recurrence": {"first": 1, "last": 1, "times": 1}},
            {
                "window_warmup": 0.5,
                "recurrence_from": 0.6,
                "schedule": {"batch_divisors": [4, 2], "context_divisors": [2], "context_rise": 0.8},
            },
            marks=pytest.mark.slow,
        ),
    ],
    ids=["document masks", "experts and dropout", "sizes that grow", "all that grows"],
)
def test_a_run_breaks_no_graph_and_compiles_nothing_after_its_warm_up(
    make_run: Any, monkeypatch: pytest.MonkeyPatch, backend: str, model: dict[str, Any], training: dict[str, Any]
) -> None:
    """With accumulation, a smaller last micro-batch, and evaluations on the way and at the end."""
    compiler = functools.partial(torch.compile, backend=backend)
    monkeypatch.setattr(learner, "CompiledLoss", functools.partial(CompiledLoss, compiler=compiler))
    graphs: list[int] = []
    warm_up = learner.Learner.warm_up

    def counted(self: Any, *given: Any) -> None:
        warm_up(self, *given)
        graphs.append(counters["stats"]["unique_graphs"])

    monkeypatch.setattr(learner.Learner, "warm_up", counted)
    run = {"max_steps": 4, "micro_batch": 3, "compile": "on", "evaluate_every": 2, "evaluate_tokens": 100}
    summary = go(make_run("run", {**ONE_LAYER, **model}, validate=True, **{**run, **training}))
    assert summary.state == "finished"
    assert graphs[0] >= 2  # a micro-batch, and the smaller last one
    assert counters["stats"]["unique_graphs"] == graphs[0]
    assert not counters["graph_break"]


class Waits(TorchDispatchMode):
    """Notes what would stop the host until a device is done, and where in the trainer that is; and what is sent to it
    from memory."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.sent: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name, first = func.__name__.partition(".")[0], args[0] if args else None
        on_device = isinstance(first, torch.Tensor) and first.is_meta
        if name in ("nonzero", "masked_select", "unique_dim", "_unique2", "repeat_interleave"):
            self.seen.append(f"{name} in {_place()}")
        if name == "_local_scalar_dense" and on_device:
            self.seen.append(f"item in {_place()}")
            return 1.0 if first.is_floating_point() else 1
        device = kwargs.get("device")
        if name == "_to_copy" and device is not None:
            if on_device and torch.device(device).type == "cpu":
                self.seen.append(f"to the CPU in {_place()}")
                return torch.ones(first.shape, dtype=kwargs.get("dtype") or first.dtype)
            if not on_device and torch.device(device).type == "meta":
                (self.sent if kwargs.get("non_blocking") else self.seen).append(f"sent in {_place()}")
        return func(*args, **kwargs)


def _place() -> str:
    """The function of the trainer that is at work."""
    inside = [frame for frame in traceback.extract_stack() if f"{Path('trainer')}/" in frame.filename]
    return next((frame.name for frame in reversed(inside) if "tests" not in Path(frame.filename).parts), "?")


@pytest.fixture
def learner_on_a_device(monkeypatch: pytest.MonkeyPatch) -> Callable[..., learner.Learner]:
    """A learner on `meta`, which torch's autocast does not know: bf16 is what is cast by hand alone."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda *_: True)
    monkeypatch.setattr(torch, "get_autocast_dtype", lambda *_: torch.bfloat16)
    monkeypatch.setattr("trainer.model.moe.has_grouped_kernel", lambda *_: True)

    def make(model: dict[str, Any], **training: Any) -> learner.Learner:
        settings = {"batch_tokens": 128, "compile": "off", "precision": "bf16", "ema_horizon": 10, **training}
        config = ModelConfig.from_dict({**MODEL, **model})
        run = RunConfig(config, DataConfig(("none",)), "none", TrainingConfig.from_dict(settings))
        made = learner.Learner(run, Ranks(0, 1, torch.device("meta")), EOT, "bf16")
        made.micro_batch = 3
        return made

    return make


@pytest.mark.parametrize(
    ("optimizer", "model"),
    [
        ("adamw", {}),
        ("soap_muon", {}),
        ("muon", {"mlp": "moe", "moe": {"experts": 4, "top_k": 2, "balance": "bias"}}),
        ("normuon", {"window": 4, "canon": ["A", "B"], "bigram_rows": 50, "predict_ahead": 1, "smear": True}),
    ],
    ids=["adamw", "soap_muon", "experts", "switches"],
)
def test_a_step_waits_for_the_device_once_for_its_loss_and_norm(
    learner_on_a_device: Callable[..., learner.Learner], model: dict[str, Any], optimizer: str
) -> None:
    made = learner_on_a_device({**ONE_LAYER, **model}, optimizer={"kind": optimizer}, document_mask=True)
    made.optimizer.rehearse()
    windows = torch.zeros(8, MODEL["context"] + 1, dtype=torch.int64)
    with Waits() as waits:
        for step in range(2):
            made.begin_step(step, 2)
            nats = made.gradients(windows, np.arange(8), 8)
            norm = made.clip()
            assert waits.seen == []
            made.ranks.sum([nats, 128, norm])
            assert waits.seen == ["to the CPU in sum"]
            waits.seen.clear()
            made.update(step, 2)
            assert waits.seen == []


def test_a_wait_would_be_seen(learner_on_a_device: Callable[..., learner.Learner]) -> None:
    made = learner_on_a_device(ONE_LAYER)
    windows = torch.zeros(8, MODEL["context"] + 1, dtype=torch.int64)
    with Waits() as waits:
        nats = made.gradients(windows, np.arange(8), 8)
        float(nats)
        with pytest.raises(NotImplementedError):
            (nats > 0).nonzero()
        torch.ones(2).to("meta")
    assert [wait.partition(" ")[0] for wait in waits.seen] == ["item", "nonzero", "sent"]
