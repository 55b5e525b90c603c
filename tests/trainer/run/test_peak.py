"""The peak that a CPU's speed is held against: measured once a machine, for each precision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from in_process import ONE, go  # noqa: E402

from trainer.run.figures import peak  # noqa: E402
from trainer.run.figures.peak import measured_peak  # noqa: E402


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "squeeze" / "peak"


def test_it_is_measured_once_for_each_precision(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []
    monkeypatch.setattr(peak, "_try", lambda precision: tried.append(precision) or 0.25 * len(tried))
    assert [measured_peak(ONE, name) for name in ("bf16", "float32", "bf16")] == [0.25, 0.5, 0.25]
    assert tried == ["bf16", "float32"]
    for file in cache.iterdir():
        file.write_text('{"tflops": -1}')
    assert measured_peak(ONE, "bf16") == 0.75


def test_a_product_of_large_matrices_is_what_is_measured() -> None:
    assert 1e-4 < peak._try("float32") < 100


def test_a_run_on_a_cpu_says_which_share_of_it_it_uses(make_run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peak, "_try", lambda precision: 0.001)
    summary = go(make_run("run", max_steps=2))
    assert summary.mfu == pytest.approx(summary.tokens_per_second * summary.flops_per_token / 1e9)
