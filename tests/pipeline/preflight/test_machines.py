"""On any machine: profiles reach the trainer with right ranks, or are refused with what to set. Torch's answers about
the machine are replaced."""

import pytest

from pipeline.preflight import reach as reaching
from pipeline.preflight.finding import refusal

MACHINES = {
    "no GPU": ({"cores": 2}, "2 ranks on cpu"),
    "one GPU": ({"gpus": 1}, "1 rank on cuda"),
    "two GPUs": ({"gpus": 2}, "2 ranks on cuda"),
    "eight GPUs": ({"gpus": 8}, "8 ranks on cuda"),
    "MPS": ({"mps": True, "cores": 8}, "1 rank on mps"),
    "a GPU of 8 GB": ({"gpus": 1, "gigabytes": 8}, "1 rank on cuda"),
}


@pytest.fixture
def reachable(monkeypatch):
    """Every place answers."""
    monkeypatch.setattr(reaching, "_archive_answer", lambda *_, **__: ("ok", "pip can fetch it"))
    monkeypatch.setattr(reaching, "_answer", lambda *_, **__: ("ok", "answers"))


SEQUENCES = {"sample": 16, "laptop": 32, "own": 16}
"""Of a batch, by profile."""


@pytest.mark.parametrize("name", SEQUENCES)
@pytest.mark.parametrize("where", MACHINES)
def test_profiles_reach_the_trainer_with_the_ranks_of_the_machine(where, name, machine, own, findings, reachable):
    there, ranks = MACHINES[where]
    machine(**there)
    found = findings(own() if name == "own" else name)
    assert refusal(found) is None
    (device,) = [finding.text for finding in found if finding.check == "device"]
    assert device.startswith(f"{ranks}, {SEQUENCES[name]} sequences a batch")


@pytest.mark.parametrize("name", ["gpt2_124m", "squeeze_124m", "multilingual", "single_gpu"])
def test_large_profiles_are_refused_for_what_a_small_machine_lacks(name, machine, findings, reachable, free_disk):
    machine(gpus=1, gigabytes=1)
    free_disk(10**9)
    error = str(refusal(findings(name)))
    assert "memory: training needs" in error or name == "single_gpu"
    assert "point SQUEEZE_HOME at a larger disk" in error


def test_a_model_too_large_for_the_gpu_is_refused_with_what_to_lower(machine, own, findings):
    machine(gpus=1, gigabytes=8)
    huge = own("model: {width: 4096, heads: 32, layers: 32, ff_width: 16384, context: 256}\n")
    assert "lower model.layers, model.width or model.context" in str(refusal(findings(huge)))


def test_ranks_that_meet_one_mps_device_are_said_to_be_one(machine, own, findings):
    machine(mps=True, cores=8)
    notes = [item.text for item in findings(own("launch: {ranks: 2}\n")) if item.verdict == "note"]
    assert notes == ["launch.ranks: 2 ranks asked for, 1 MPS device: running 1 rank; the batch stays"]


def test_a_model_that_other_machines_train_is_not_held_to_this_ones_memory(machine, own, findings, free_disk):
    machine(gpus=1, gigabytes=8)
    free_disk(10**13)
    huge = "model: {width: 4096, heads: 32, layers: 32, ff_width: 16384, context: 256}\n"
    found = findings(own(f"{huge}launch: {{kind: slurm, nodes: 2}}\n"))
    assert refusal(found) is None
    assert "2 nodes by a job of Slurm's, 16 sequences a batch" in [item.text for item in found]


def test_a_time_box_that_cuts_the_run_is_said_so(machine, findings, reachable, free_disk):
    machine(gpus=1)  # an RTX 3090
    free_disk(10**13)
    notes = [item.text for item in findings("single_gpu") if item.verdict == "note"]
    assert any("training.max_minutes (50) ends it after about" in note for note in notes)
