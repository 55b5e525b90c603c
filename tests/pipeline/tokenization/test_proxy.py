"""The switch that decides in the end: a small run per candidate at equal bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.base.errors import TokenizerError
from pipeline.curation.corpus import CuratedCorpus
from pipeline.tokenization.choosing.choice import choose
from pipeline.tokenization.choosing.comparison import ModelShape, compare_tokenizers
from pipeline.tokenization.choosing.proxy import proxy_bits_per_byte
from pipeline.tokenization.settings import ComparisonSettings, ProxySettings
from trainer.model.config import ModelConfig

Build = Callable[..., Path]
MODEL = ModelConfig(vocab_size=1, context=32, width=32, layers=1, heads=2)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """A model this small is slower on several threads, above all on a busy machine."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def settings() -> ProxySettings:
    return ProxySettings(bytes=100_000, heldout_bytes=10_000, batch_tokens=256, context=32)


def test_a_proxy_run_learns_something_and_repeats(build: Build, mixture: Path, settings: ProxySettings) -> None:
    heldout = [
        pa.array(["The old wolf had 3 songs, and it's said they'd sing 19 times a year.\n"] * 5, pa.large_string())
    ]
    folders = {"tiny": build("tiny", vocab_size=260), "larger": build("larger", vocab_size=340)}
    bits = proxy_bits_per_byte(settings, MODEL, folders, mixture, heldout)
    assert set(bits) == {"tiny", "larger"}
    assert all(0.1 < value < 8 for value in bits.values())  # 8 bits is knowing nothing of a byte
    assert proxy_bits_per_byte(settings, MODEL, folders, mixture, heldout) == bits


def test_text_for_less_than_a_step_is_refused(build: Build, mixture: Path, settings: ProxySettings) -> None:
    wide = settings.model_copy(update={"batch_tokens": 1_000_000})
    with pytest.raises(TokenizerError, match=r"proxy run of tiny: .* tokens are less than one batch of 1,000,000"):
        proxy_bits_per_byte(wide, MODEL, {"tiny": build("tiny", vocab_size=260)}, mixture, [pa.array(["x"])])


def test_the_comparison_hands_every_candidate_the_same_text(
    tmp_path: Path, build: Build, corpora: dict[str, CuratedCorpus], mixture: Path
) -> None:
    handed: list[int] = []

    def proxy(tokenizers: Mapping[str, Path], heldout: list[pa.Array]) -> Mapping[str, float]:
        handed.append(len(heldout))
        return {name: 2.0 - number for number, name in enumerate(tokenizers)}

    folders = {"tiny": build("tiny", vocab_size=260), "larger": build("larger", vocab_size=340)}
    summary = compare_tokenizers(
        ComparisonSettings(),
        folders,
        corpora,
        mixture,
        tmp_path,
        shape=ModelShape(width=8, body_parameters=9),
        proxy=proxy,
    )
    assert handed == [2]
    assert choose("proxy_bits_per_byte", summary.tokenizers)[0] == "larger"
