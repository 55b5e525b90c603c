"""Training speed and memory of the model beside its peers: same shape, same weights' count, precision and batch.

    python -m benchmarks.model_speed                      # every shape that fits the device, one table
    python -m benchmarks.model_speed --threads 1 --clock process   # on a busy machine: CPU time of one thread
    python -m benchmarks.model_speed --memory             # peak memory of preset L at micro-batch 1
    python -m benchmarks.model_speed --loss --threads 1   # output projection and loss alone, beside torch's own

A step is forward, backward, clipping and fused AdamW. Each model is a process of its own, set up as those who train it
are: ours has a step's memory kept and in huge pages, as the trainer has it, and the peers have torch's defaults, or
with --alike the same memory as ours. Models and precisions take turns step by step, so that whatever else the machine
does falls on all of them; what is printed is the median step, and the median of the ratios of steps taken one after the
other. On a CPU ours also takes its turn as `precision: auto` has it, whose choice is found anew; the last lines of a
shape hold that against the better precision of ours and of each peer. Peers: the `transformers` class the model exports
to in a plain loop, litgpt where it can be imported (`pip install --no-deps --target DIR litgpt lightning`;
PYTHONPATH=DIR) and build-nanogpt's GPT-2 (`nanogpt_shape.py`). On a GPU, ours is compiled and MFU is printed against
--peak-tflops.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.nanogpt_shape import NanoGPT
from trainer.config import DataConfig, OptimizerConfig, RunConfig, TrainingConfig
from trainer.export.hf import hf_class, hf_settings
from trainer.model import GPT, GPT2, ModelConfig, MoEConfig
from trainer.model.kernels import PLAIN, Kernels, computed_by
from trainer.optim import build_optimizer
from trainer.process.allocator import keep_freed_memory
from trainer.process.ranks import Ranks
from trainer.run.precision import AUTO
from trainer.run.ways import Ways, choose_ways

SHAPES = {
    "S": (ModelConfig(vocab_size=2048, context=256, width=96, layers=4, heads=3, ff_width=256), 16),
    "llama-14M": (
        ModelConfig(
            vocab_size=16384,
            context=256,
            width=320,
            layers=7,
            heads=5,
            ff_width=832,
            attention_input="3n",
            qk_norm=False,
        ),
        8,
    ),
    "gpt2-14M": (
        dataclasses.replace(GPT2, vocab_size=16384, context=256, width=320, layers=7, heads=5, ff_width=1280),
        8,
    ),
    "M": (ModelConfig(vocab_size=16384, context=1024, width=384, layers=8, heads=6, ff_width=1024), 2),
    "gpt2-124M": (GPT2, 16),
    "L": (ModelConfig(vocab_size=32768, context=1024, width=768, layers=12, heads=6, ff_width=2048), 16),
    "L-moe": (
        ModelConfig(vocab_size=32768, width=768, heads=6, ff_width=2048, mlp="moe", moe=MoEConfig(experts=8, top_k=2)),
        16,
    ),
}
OURS = "ours"
Loss = Callable[[Tensor, Tensor], Tensor]


@dataclasses.dataclass
class Runner:
    """One model under test."""

    name: str
    model: nn.Module
    loss: Loss
    optimizer: torch.optim.Optimizer

    def step(self, ids: Tensor, *, bf16: bool, clock: Callable[[], float]) -> float:
        """Seconds of one training step."""
        start = clock()
        with torch.autocast(ids.device.type, torch.bfloat16, enabled=bf16):
            loss = self.loss(ids[:, :-1], ids[:, 1:])
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        if ids.is_cuda:
            torch.cuda.synchronize()
        return clock() - start


def adamw(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.95), fused=True)


def our_runner(config: ModelConfig, device: torch.device) -> Runner:
    model = GPT(config).to(device)
    loss: Any = lambda x, y: model.loss(x, y).total  # noqa: E731
    if device.type == "cuda":
        loss = torch.compile(loss, dynamic=False)
    return Runner(OURS, model, loss, build_optimizer(model, OptimizerConfig(learning_rate=1e-4)))


def transformers_runner(config: ModelConfig, device: torch.device) -> Runner:
    import transformers

    name = hf_class(config)
    hf_model_class = getattr(transformers, name)
    model = hf_model_class(hf_model_class.config_class(**hf_settings(config, name, None))).to(device).train()

    def loss(x: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(model(x).logits.float().flatten(0, 1), y.flatten())

    return Runner(f"transformers {name}", model, loss, adamw(model))


def nanogpt_runner(config: ModelConfig, device: torch.device) -> Runner:
    model = NanoGPT(config.vocab_size, config.context, config.width, config.layers, config.heads).to(device)
    return Runner("build-nanogpt", model, model.loss, adamw(model))


def litgpt_runner(config: ModelConfig, device: torch.device) -> Runner:
    import litgpt.model
    from litgpt.config import Config

    model = litgpt.model.GPT(
        Config(
            block_size=config.context,
            vocab_size=config.vocab_size,
            padded_vocab_size=config.vocab_size,
            n_layer=config.layers,
            n_head=config.heads,
            n_embd=config.width,
            n_query_groups=config.key_value_heads,
            intermediate_size=config.dense_ff_width,
            rotary_percentage=1.0,
            parallel_residual=False,
            bias=False,
            norm_class_name="RMSNorm",
            mlp_class_name="LLaMAMLP",
        )
    ).to(device)
    model.lm_head.weight = model.transformer.wte.weight  # tied, as ours

    def loss(x: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(model(x).flatten(0, 1), y.flatten())

    return Runner("litgpt", model, loss, adamw(model))


RUNNERS: Mapping[str, Callable[[ModelConfig, torch.device], Runner]] = {
    OURS: our_runner,
    "transformers": transformers_runner,
    "build-nanogpt": nanogpt_runner,
    "litgpt": litgpt_runner,
}


def that_hold(config: ModelConfig) -> list[str]:
    """Ours and those peers that can hold the shape and are there."""
    names = [OURS, "transformers"]
    if config.position == "learned":
        names.append("build-nanogpt")
    elif (config.attention_input, config.mlp, config.qk_norm) == ("3n", "swiglu", False):
        names += ["litgpt"] if importlib.util.find_spec("litgpt") else []
    return names


class Program:
    """A runner in a process of its own, which takes a step when it is told to."""

    def __init__(self, which: str, shape: str, batch: int, device: torch.device, args: argparse.Namespace) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        keep = device.type == "cpu" and (which == OURS or args.alike)
        arguments = (theirs, which, shape, batch, str(device), args.clock, torch.get_num_threads(), keep)
        context.Process(target=_serve, args=arguments, daemon=True).start()
        theirs.close()
        self.name, self.parameters, self.flops_per_token = self._connection.recv()

    def step(self, *, bf16: bool, kernels: Kernels = PLAIN) -> float:
        """Seconds that it took there."""
        self._connection.send((bf16, kernels))
        taken: float = self._connection.recv()
        return taken

    def end(self) -> None:
        self._connection.close()


def _serve(
    connection: Connection,
    which: str,
    shape: str,
    batch: int,
    device_name: str,
    clock_name: str,
    threads: int,
    keep: bool,
) -> None:
    torch.set_num_threads(threads)
    if keep:
        keep_freed_memory()
    config, device = SHAPES[shape][0], torch.device(device_name)
    clock = time.process_time if clock_name == "process" else time.perf_counter
    runner = RUNNERS[which](config, device)
    parameters = sum(parameter.numel() for parameter in runner.model.parameters())
    flops = runner.model.flops_per_token() if isinstance(runner.model, GPT) else None
    connection.send((runner.name, parameters, flops))
    ids = torch.randint(0, config.vocab_size, (batch, config.context + 1), device=device)
    while True:
        try:
            bf16, kernels = connection.recv()
        except EOFError:  # nobody asks any more
            return
        with computed_by(kernels):
            connection.send(runner.step(ids, bf16=bf16, clock=clock))


def measure_speed(args: argparse.Namespace, device: torch.device) -> None:
    names = args.shapes or (
        ["S", "llama-14M", "gpt2-14M", "M"] if device.type == "cpu" else ["gpt2-124M", "L", "L-moe"]
    )
    print(f"{torch.get_num_threads()} threads, {device}, clock: {args.clock}, torch {torch.__version__}")
    print(f"{'shape':10} {'precision':9} {'model':34} {'parameters':>11} {'tokens/s':>9} {'ours is':>8} {'MFU':>6}")
    for name in names:
        config, batch = SHAPES[name]
        batch = args.batch or batch
        precisions = {"float32": False, "bf16": True} if device.type == "cpu" else {"bf16": True}
        if device.type == "cpu":
            keep_freed_memory()  # as a run has it that chooses
        auto = chosen_ways(config, batch, device)
        programs = [Program(which, name, batch, device, args) for which in that_hold(config)]
        times = steps_in_turns(programs, precisions, auto, args.warmup + args.steps)
        times = {key: taken[args.warmup :] for key, taken in times.items()}
        for precision in precisions:
            for program in programs:
                rate = batch * config.context / statistics.median(times[precision, program.name])
                ratio = paired(times[precision, program.name], times[precision, OURS])
                flops = programs[0].flops_per_token
                mfu = f"{rate * flops / args.peak_tflops / 1e12:6.1%}" if args.peak_tflops else ""
                print(
                    f"{name:10} {precision:9} {program.name:34} {program.parameters:11,} {rate:9,.0f} "
                    f"{ratio:7.2f}x {mfu}",
                    flush=True,
                )
        best = {
            program.name: min((times[p, program.name] for p in precisions), key=statistics.median)
            for program in programs
        }
        taken = times[AUTO, OURS]
        print(f"{name:10} auto is {auto.words}: {paired(best[OURS], taken):.2f} of ours at its better precision")
        for program in programs[1:]:
            ratio = paired(best[program.name], taken)
            print(f"{name:10} auto over {program.name} at its better precision: {ratio:.2f}x", flush=True)
        for program in programs:
            program.end()


def steps_in_turns(
    programs: Sequence[Program], precisions: Mapping[str, bool], auto: Ways, rounds: int
) -> dict[tuple[str, str], list[float]]:
    """Seconds of each round's step, by precision and program; ours also as `auto` has it."""
    times: dict[tuple[str, str], list[float]] = {(p, program.name): [] for p in precisions for program in programs}
    times[AUTO, OURS] = []
    for _ in range(rounds):
        for precision, bf16 in precisions.items():
            for program in programs:
                times[precision, program.name].append(program.step(bf16=bf16))
        taken = programs[0].step(bf16=auto.precision.name == "bf16", kernels=auto.kernels)
        times[AUTO, OURS].append(taken)
    return times


def chosen_ways(config: ModelConfig, batch: int, device: torch.device) -> Ways:
    """How a run of this shape would compute here, tried anew and not kept."""
    before = os.environ.get("XDG_CACHE_HOME")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = folder
        try:
            training = TrainingConfig(batch_tokens=batch * config.context)
            run = RunConfig(config, DataConfig(epochs=("none",)), folder, training)
            began = time.perf_counter()
            ways = choose_ways(run, Ranks(0, 1, device))
            print(
                f"tried for {time.perf_counter() - began:.2f} s: {said(ways.seconds)}; micro-batch {ways.micro_batch}"
            )
            return ways
        finally:
            os.environ.pop("XDG_CACHE_HOME")
            if before is not None:
                os.environ["XDG_CACHE_HOME"] = before


def said(seconds: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {1000 * value:.1f} ms" for name, value in seconds.items())


def paired(theirs: Sequence[float], ours: Sequence[float]) -> float:
    """How many times as long theirs takes: the median over steps taken one after the other."""
    return statistics.median(other / own for other, own in zip(theirs, ours, strict=True))


def measure_memory(vocab_size: int, *, chunked: bool) -> None:
    """In a fresh process: two bf16 steps of preset L at micro-batch 1, and the most memory the process ever held."""
    import resource

    config = dataclasses.replace(SHAPES["L"][0], vocab_size=vocab_size)
    model = GPT(config)
    optimizer = build_optimizer(model, OptimizerConfig(learning_rate=1e-4))
    ids = torch.randint(0, vocab_size, (1, config.context + 1))
    for _ in range(2):
        with torch.autocast("cpu", torch.bfloat16):
            if chunked:
                loss = model.loss(ids[:, :-1], ids[:, 1:]).total
            else:
                loss = F.cross_entropy(model(ids[:, :-1]).float().flatten(0, 1), ids[:, 1:].flatten())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


def compare_memory() -> None:
    print("Peak resident memory, preset L's body, micro-batch 1 of 1,024 tokens, bf16 autocast, AdamW, CPU")
    for vocab_size in (32_768, 131_072):
        for chunked, label in ((1, "chunked logits"), (0, "all logits at once")):
            command = [
                sys.executable,
                "-m",
                "benchmarks.model_speed",
                "--memory-child",
                str(vocab_size),
                str(chunked),
            ]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            print(f"vocabulary {vocab_size:7,}  {label:18}  {int(done.stdout) / 2**30:.2f} GiB", flush=True)


LOSS_SHAPES = ((96, 2_048), (96, 8_192), (768, 50_257))
LOSS_TOKENS = 1024


def compare_loss(rounds: int) -> None:
    """Nanoseconds a logit of output projection and cross-entropy, forward and backward, in turns: ours in chunks, and
    torch's own over all logits at once."""
    from trainer.model.loss import cross_entropy_sum

    def plain(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(F.linear(hidden, weight).float(), targets, reduction="sum")

    def seconds(loss: Callable[[Tensor, Tensor, Tensor], Tensor], shape: tuple[int, int], bf16: bool) -> float:
        width, vocabulary = shape
        hidden = torch.randn(LOSS_TOKENS, width, requires_grad=True)
        weight = (torch.randn(vocabulary, width) * 0.02).requires_grad_()
        targets = torch.randint(vocabulary, (LOSS_TOKENS,))
        begun = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            summed = loss(hidden, weight, targets)
        summed.backward()
        return time.perf_counter() - begun

    print(f"{LOSS_TOKENS:,} tokens, {torch.get_num_threads()} thread(s), median of {rounds}")
    for shape in LOSS_SHAPES:
        for bf16 in (False, True):
            for loss in (cross_entropy_sum, plain):
                seconds(loss, shape, bf16)
            pairs = [(seconds(cross_entropy_sum, shape, bf16), seconds(plain, shape, bf16)) for _ in range(rounds)]
            ours, torchs = (statistics.median(side) * 1e9 / LOSS_TOKENS / shape[1] for side in zip(*pairs, strict=True))
            ratio = statistics.median(b / a for a, b in pairs)
            print(
                f"width {shape[0]:3}  vocabulary {shape[1]:6,}  {'bf16' if bf16 else 'float32':7}  "
                f"ours {ours:6.1f} ns a logit  torch's {torchs:6.1f}  {ratio:.2f} times as fast",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="*", choices=SHAPES, help="default: those for the device")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--batch", type=int, help="sequences; default: the shape's own")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--clock", choices=["wall", "process"], default="wall")
    parser.add_argument("--alike", action="store_true", help="give the peers the memory that ours has")
    parser.add_argument("--peak-tflops", type=float, help="of the device in bf16, for MFU (H100 SXM: 989)")
    parser.add_argument("--memory", action="store_true", help="peak memory of L instead of speed")
    parser.add_argument("--loss", action="store_true", help="the loss alone instead of the model")
    parser.add_argument("--memory-child", nargs=2, type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    if args.memory_child:
        measure_memory(args.memory_child[0], chunked=bool(args.memory_child[1]))
    elif args.memory:
        compare_memory()
    elif args.loss:
        compare_loss(args.steps)
    else:
        measure_speed(args, torch.device("cuda" if torch.cuda.is_available() else "cpu"))


if __name__ == "__main__":
    main()
