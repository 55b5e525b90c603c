"""Muon's work shared out over ranks: the bits of one process on any number of them, and each rank does its part."""

import warnings
from typing import Literal

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing

from trainer.config import OptimizerConfig
from trainer.model import GPT, ModelConfig, MoEConfig
from trainer.optim import build_optimizer, muon

MODELS = {
    "dense": ModelConfig(vocab_size=31, context=8, width=24, layers=3, heads=3, kv_heads=1, ff_width=40),
    "experts": ModelConfig(
        vocab_size=31, context=8, width=16, layers=1, heads=2, mlp="moe", moe=MoEConfig(experts=3, expert_width=8)
    ),
}
RUNS = {
    "dense": (MODELS["dense"], "muon"),
    "experts": (MODELS["experts"], "normuon"),
    "soap": (MODELS["dense"], "soap_muon"),
}


def trained(config: ModelConfig, kind: Literal["muon", "normuon", "soap_muon"]) -> tuple[dict[str, torch.Tensor], int]:
    """Weights after three steps on invented gradients, and the matrices that this process made orthogonal."""
    torch.manual_seed(0)
    model = GPT(config)
    optimizer = build_optimizer(model, OptimizerConfig(kind=kind, learning_rate=0.1))
    done, whole = 0, muon.orthogonalize

    def counted(batch: torch.Tensor, iteration: muon.Iteration) -> torch.Tensor:
        nonlocal done
        done += int((batch.flatten(1).abs().sum(1) > 0).sum())
        return whole(batch, iteration)

    muon.orthogonalize = counted
    try:
        for _ in range(3):
            for parameter in model.parameters():
                parameter.grad = torch.randn_like(parameter)
            optimizer.step()
    finally:
        muon.orthogonalize = whole
    return {name: parameter.detach() for name, parameter in model.named_parameters()}, done


def rank_of(rank: int, ranks: int, folder: str) -> None:
    warnings.simplefilter("error", FutureWarning)  # every rank would print it on the terminal of every run
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=ranks)
    torch.save({name: trained(*run) for name, run in RUNS.items()}, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_share_the_work_and_get_the_bits_of_one_process(ranks, tmp_path):
    alone = {name: trained(*run) for name, run in RUNS.items()}
    context = torch.multiprocessing.start_processes(
        rank_of, (ranks, str(tmp_path)), nprocs=ranks, start_method="spawn", join=False
    )
    while not context.join():
        pass
    shared = [torch.load(tmp_path / f"{rank}.pt") for rank in range(ranks)]
    for name, (weights, matrices) in alone.items():
        for of_rank in shared:
            assert of_rank[name][0].keys() == weights.keys()
            assert all(torch.equal(of_rank[name][0][key], weights[key]) for key in weights)
        assert sum(of_rank[name][1] for of_rank in shared) == matrices
        assert max(of_rank[name][1] for of_rank in shared) < matrices
