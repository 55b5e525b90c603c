"""Reading ahead changes what is read when, and never what is trained on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from trainer.data.feed import Feed  # noqa: E402
from trainer.process.products import set_products  # noqa: E402

CPU = torch.device("cpu")


class Reader:
    """Whose sequence i reads i, i, i; it notes what was asked of it."""

    context = 2

    def __init__(self) -> None:
        self.asked: list[list[int]] = []

    def read(self, ids: np.ndarray, out: np.ndarray) -> np.ndarray:
        self.asked.append(ids.tolist())
        out[:] = ids[:, None]
        return out


@pytest.fixture
def reader() -> Any:
    return Reader()


def test_what_was_read_ahead_is_not_read_again(reader: Any) -> None:
    feed = Feed(reader, CPU, ahead=True)
    first = feed.take(np.arange(0, 2))
    feed.expect(np.arange(2, 4))
    second = feed.take(np.arange(2, 4))
    assert reader.asked == [[0, 1], [2, 3]]
    assert first.host.tolist() == [[0, 0, 0], [1, 1, 1]]  # and is not written over by the next
    assert second.host.tolist() == second.device.tolist() == [[2, 2, 2], [3, 3, 3]]


def test_another_batch_than_expected_is_read_anew(reader: Any) -> None:
    feed = Feed(reader, CPU, ahead=True)
    feed.expect(np.arange(2, 4))
    assert feed.take(np.arange(2, 5)).host[:, 0].tolist() == [2, 3, 4]
    assert feed.take(np.arange(2, 4)).host[:, 0].tolist() == [2, 3]
    assert reader.asked == [[2, 3], [2, 3, 4], [2, 3]]


def test_a_cpu_reads_nothing_ahead_and_computes_on_what_was_read(reader: Any) -> None:
    feed = Feed(reader, CPU)
    feed.expect(np.arange(2))
    assert reader.asked == []
    windows = feed.take(np.arange(2))
    assert windows.host.data_ptr() == windows.device.data_ptr()


def test_products_of_a_gpu_are_rounded_in_bf16_alone_and_summed_in_float32() -> None:
    before = torch.get_float32_matmul_precision(), torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction
    try:
        set_products(torch.device("cuda", 0), "bf16")
        assert torch.get_float32_matmul_precision() == "high"
        assert torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction is False
        set_products(torch.device("cuda", 0), "float32")
        assert torch.get_float32_matmul_precision() == "highest"
        set_products(CPU, "bf16")
        assert torch.get_float32_matmul_precision() == "highest"
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = before[1]
