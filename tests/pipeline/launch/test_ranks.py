"""How many ranks a program gets: never more than the machine has or the batch has work for, the batch unchanged."""

import re

import pytest

from pipeline.base.errors import LaunchError
from pipeline.launch.ranks import Batch, ranks_for
from pipeline.launch.settings import LaunchSettings
from trainer.errors import ConfigError

SAMPLE = Batch(sequences=32, tokens=8192)


@pytest.mark.parametrize(
    ("there", "batch", "ranks", "device"),
    [
        ({"cores": 2}, SAMPLE, 2, "cpu"),
        ({"cores": 1}, SAMPLE, 1, "cpu"),
        ({"cores": 64}, SAMPLE, 8, "cpu"),  # a rank has 1,024 tokens of a batch, or more
        ({"cores": 64}, Batch(2, 65_536), 2, "cpu"),
        ({"cores": 64}, Batch(4, 512), 1, "cpu"),
        ({"gpus": 1}, SAMPLE, 1, "cuda"),
        ({"gpus": 2}, SAMPLE, 2, "cuda"),
        ({"gpus": 8}, SAMPLE, 8, "cuda"),
        ({"gpus": 8}, Batch(4, 4096), 4, "cuda"),
        ({"mps": True, "cores": 8}, SAMPLE, 1, "mps"),
    ],
)
def test_auto_is_one_a_gpu_or_a_core_as_far_as_there_is_work(machine, there, batch, ranks, device):
    machine(**there)
    started = ranks_for("auto", "auto", batch)
    assert (started.ranks, started.device, started.note) == (ranks, device, "")


@pytest.mark.parametrize(
    ("there", "device", "asked", "ranks", "said"),
    [
        ({}, "auto", 2, 2, ""),
        ({"gpus": 1}, "auto", 1, 1, ""),
        ({"gpus": 1}, "cuda", 2, 1, "2 ranks asked for, 1 GPU: running 1 rank; the batch stays"),
        ({"gpus": 1}, "cpu", 2, 2, ""),
        ({"gpus": 2}, "auto", 8, 2, "8 ranks asked for, 2 GPUs: running 2 ranks; the batch stays"),
        ({"gpus": 2}, "auto", 1, 1, ""),
        ({"mps": True}, "auto", 2, 1, "2 ranks asked for, 1 MPS device: running 1 rank; the batch stays"),
    ],
)
def test_a_number_is_kept_as_far_as_there_are_devices(machine, there, device, asked, ranks, said):
    machine(**there)
    started = ranks_for(asked, device, SAMPLE)
    assert (started.ranks, started.note) == (ranks, f"launch.ranks: {said}" if said else "")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (3, "launch.ranks is 3, but this machine has 2 cores: set launch.ranks to auto, or to 2 at most"),
        (64, "launch.ranks is 64, but a batch holds 32 sequences: set launch.ranks to auto"),
    ],
)
def test_more_ranks_than_cores_or_sequences_are_refused(machine, asked, message):
    machine(cores=2)
    with pytest.raises(LaunchError, match=re.escape(message)):
        ranks_for(asked, "cpu", SAMPLE)


def test_a_device_that_is_not_there_is_refused(machine):
    machine()
    with pytest.raises(ConfigError, match=r"training\.device is 'cuda', but torch sees none here"):
        ranks_for("auto", "cuda", SAMPLE)


def test_the_number_of_ranks_is_no_part_of_a_fingerprint():
    from pipeline.base.settings import identity_of

    assert identity_of(LaunchSettings()) == identity_of(LaunchSettings(ranks=8)) == {}
