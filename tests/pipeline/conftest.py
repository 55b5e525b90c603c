"""What tests of several rooms share."""

import pytest


@pytest.fixture
def machine(monkeypatch):
    """A machine of so many GPUs and cores, with or without MPS: torch's answers about it are replaced."""
    torch = pytest.importorskip("torch")

    def make(*, gpus=0, mps=False, cores=2, gigabytes=80):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda *_: (gigabytes * 10**9, gigabytes * 10**9))
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda *_: "NVIDIA GeForce RTX 3090")
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: (8, 6))
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
        monkeypatch.setattr("pipeline.launch.ranks.core_count", lambda: cores)

    return make
