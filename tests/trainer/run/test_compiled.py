"""A loss that cannot be compiled, memory that runs out outside of a pass, and GPUs that torch or bf16 are not for."""

from __future__ import annotations

import functools
import logging
import subprocess
import sys
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from in_process import go  # noqa: E402
from safetensors.torch import load_file  # noqa: E402

from trainer.errors import TrainerError  # noqa: E402
from trainer.optim import GroupedOptimizer  # noqa: E402
from trainer.process.abilities import has_code_for, precision_note  # noqa: E402
from trainer.run import learner  # noqa: E402
from trainer.run.compiled import CompiledLoss, is_out_of_memory, why_not_compiled  # noqa: E402


def no_compiler(graph: Any, inputs: Any) -> Any:
    """A backend of torch.compile that fails, as one without a C++ compiler does."""
    raise RuntimeError("g++: not found")


def no_memory(graph: Any, inputs: Any) -> Any:
    raise torch.OutOfMemoryError("CUDA out of memory")


FAILING = functools.partial(torch.compile, backend=no_compiler)


def compiled_by(monkeypatch: pytest.MonkeyPatch, compiler: Any) -> None:
    monkeypatch.setattr(learner, "compiles", lambda wanted, device: wanted != "off")
    monkeypatch.setattr(learner, "CompiledLoss", functools.partial(CompiledLoss, compiler=compiler))


def test_with_auto_a_failing_compiler_is_a_warning_and_the_run_is_the_same(
    make_run: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    plain, path = (
        make_run(name, max_steps=3, micro_batch=3, compile=how) for name, how in (("a", "off"), ("b", "auto"))
    )
    go(plain)
    compiled_by(monkeypatch, FAILING)
    with caplog.at_level(logging.WARNING, "trainer"):
        go(path)
    assert caplog.text.count("torch.compile failed") == 1
    assert "g++: not found" in caplog.text
    assert "set training.compile to 'off'" in caplog.text
    expected, found = (load_file(run.with_suffix("") / "model.safetensors") for run in (plain, path))
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_with_on_it_ends_the_run_with_a_sentence(make_run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled_by(monkeypatch, FAILING)
    with pytest.raises(TrainerError, match=r"torch.compile failed \(.*g\+\+: not found.*set training.compile to 'off'"):
        go(make_run("run", max_steps=3, compile="on"))


def test_every_size_of_a_step_is_compiled_before_the_first_one(make_run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def counting(graph: Any, inputs: Any) -> Any:
        seen.append(len(seen))
        return graph.forward

    compiled_by(monkeypatch, functools.partial(torch.compile, backend=counting))
    warm_up, compiled = learner.Learner.warm_up, []
    monkeypatch.setattr(
        learner.Learner, "warm_up", lambda self, *given: (warm_up(self, *given), compiled.append(len(seen)))
    )
    go(make_run("run", max_steps=3, micro_batch=3, compile="on"))  # 8 sequences: 3, 3 and 2
    assert compiled == [len(seen)]


def test_halving_past_eight_sizes_is_still_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    graphs: list[Any] = []

    def counting(graph: Any, inputs: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    class Loop(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            return sum(x[start] for start in range(len(x)))  # a loop over the size: each one is compiled for itself

    loss = CompiledLoss(Loop(), may_fail=False, compiler=functools.partial(torch.compile, backend=counting))
    for rows in range(14, 1, -1):
        before = len(graphs)
        loss(torch.ones(rows, 2))
        assert len(graphs) > before
        loss.forget_shapes()


def test_memory_that_runs_out_in_a_compiler_is_no_failure_of_it() -> None:
    loss = CompiledLoss(
        torch.nn.Linear(2, 2), may_fail=True, compiler=functools.partial(torch.compile, backend=no_memory)
    )
    with pytest.raises(Exception) as caught:  # noqa: PT011 (torch wraps it in one of its own)
        loss(torch.ones(1, 2))
    assert is_out_of_memory(caught.value)
    assert why_not_compiled(caught.value) is None
    assert why_not_compiled(ValueError("a defect of ours")) is None


@pytest.mark.parametrize("nth", [1, 2], ids=["before the first step", "in it"])
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_memory_that_runs_out_for_the_optimizer_is_a_sentence(
    make_run: Any, monkeypatch: pytest.MonkeyPatch, nth: int, optimizer: str
) -> None:
    step, calls = GroupedOptimizer.step, []

    def failing(self: Any, closure: Any = None) -> Any:
        calls.append(1)
        if len(calls) == nth:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 148.00 MiB")
        return step(self, closure)

    monkeypatch.setattr(GroupedOptimizer, "step", failing)
    with pytest.raises(TrainerError, match=r"out of memory .*optimizer.* smaller training.micro_batch or model, or a"):
        go(make_run("run", max_steps=3, optimizer={"kind": optimizer}))


@pytest.mark.parametrize(
    ("capability", "built_for", "runs"),
    [
        ((8, 9), ["sm_75", "sm_86", "sm_90"], True),
        ((9, 0), ["sm_90a"], True),
        ((10, 0), ["sm_90a"], False),
        ((6, 1), ["sm_75", "sm_80"], False),
        ((8, 0), ["sm_86"], False),
        ((12, 0), ["sm_80", "compute_90"], True),
        ((7, 0), ["compute_90"], False),
        ((9, 0), [], True),
    ],
)
def test_a_card_runs_what_was_built_for_it(capability: tuple[int, int], built_for: list[str], runs: bool) -> None:
    assert has_code_for(capability, built_for) is runs


def test_a_card_without_bfloat16_says_so() -> None:
    said = precision_note("Tesla T4", (7, 5), "bf16")
    assert said is not None
    assert "Tesla T4 (compute capability 7.5) has no bfloat16 of its own" in said
    assert precision_note("Tesla T4", (7, 5), "float32") is None
    assert precision_note("A100", (8, 0), "bf16") is None


def test_a_run_that_compiles_nothing_imports_neither_the_compiler_nor_what_arrow_would(make_run: Any) -> None:
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "import torch\n"
        "from trainer.config import read_run\n"
        "from trainer.process.ranks import Ranks\n"
        "from trainer.process.signals import StopRequest\n"
        "from trainer.run.loop import train\n"
        "train(read_run(Path(sys.argv[1])), Ranks(0, 1, torch.device('cpu')), StopRequest())\n"
        "print(*(name for name in sys.modules if name.startswith(('torch._dynamo', 'pandas'))))\n"
    )
    run = make_run("run", max_steps=2, optimizer={"kind": "muon"}, ema_horizon=5, validate=True)
    ended = subprocess.run([sys.executable, "-c", program, str(run)], stdout=subprocess.PIPE, check=True, timeout=120)
    assert ended.stdout.split() == []
