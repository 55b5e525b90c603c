"""A model and its tokenizer in one file: read back it scores text as the folder does, by the same suite."""

import pytest
import torch

from pipeline.base.errors import EvaluationError, TokenizerError
from pipeline.evaluation.one_file import calibration_text, read_one_file, write_one_file
from pipeline.evaluation.suites.bits_per_byte import BitsPerByteSuite, evaluate_bits_per_byte
from pipeline.tokenization.compact import read_compact, to_compact
from trainer.quantize import QuantizeSettings, quantize, write_quantized

SUITE = BitsPerByteSuite(compressors=(), prime_bytes=0)
DOCUMENTS = {"books": [("The quick brown fox jumps over the lazy dog. " * 3, "en", ""), ("été ☃", "fr", "")]}


@pytest.fixture
def bits(scorer, heldout, tmp_path):
    """Bits per byte of a scorer on the same documents."""
    folders = heldout(DOCUMENTS)

    def score(one):
        (tmp_path / "scores").mkdir(exist_ok=True)
        return evaluate_bits_per_byte(one, folders, {}, SUITE, tmp_path / "scores").scores[0].value

    return score


@pytest.mark.parametrize("name", ["model.safetensors", "model.xz"])
def test_in_full_precision_it_is_the_same_model_and_in_eight_bits_nearly(scorer, bits, name, tmp_path):
    wanted = bits(scorer)
    write_one_file(scorer, QuantizeSettings(bits=32), None, tmp_path / name)
    read = read_one_file(tmp_path / name)
    assert bits(read) == pytest.approx(wanted, abs=1e-9)
    assert read.context == scorer.context
    eight = tmp_path / f"8{name}"
    text = torch.randint(0, 384, (2, 64), generator=torch.Generator().manual_seed(1))
    size = write_one_file(scorer, QuantizeSettings(bits=8), text, eight)
    assert size == eight.stat().st_size < 0.5 * (tmp_path / name).stat().st_size
    assert bits(read_one_file(eight)) == pytest.approx(wanted, abs=0.02)


def test_the_tokenizer_comes_back_whole_from_its_merges(scorer):
    card, arrays = to_compact(scorer.tokenizer)
    assert arrays.keys() == {"tokenizer.merges", "tokenizer.bytes"}
    assert sum(array.nbytes for array in arrays.values()) <= 256 + 4 * 128
    back = read_compact(card, arrays)
    assert back.content_hash == scorer.tokenizer.content_hash
    text = "A man is sitting on a roof; été ☃ 12"
    assert back.encode(text) == scorer.tokenizer.encode(text)
    assert back.decode(back.encode(text)) == text


def test_a_tokenizer_that_was_changed_is_refused(scorer):
    card, arrays = to_compact(scorer.tokenizer)
    merges = arrays["tokenizer.merges"].copy()
    merges[0, 0, -1] ^= 1
    with pytest.raises(TokenizerError, match="inside the file is damaged"):
        read_compact(card, arrays | {"tokenizer.merges": merges})
    with pytest.raises(TokenizerError, match="inside the file is damaged"):
        read_compact("{}", arrays)


def test_a_file_without_a_tokenizer_is_named(scorer, tmp_path):
    write_quantized(tmp_path / "m", scorer.model, quantize(scorer.model, QuantizeSettings(method="nearest")))
    with pytest.raises(EvaluationError, match="holds a model without a tokenizer"):
        read_one_file(tmp_path / "m")


def test_calibration_text_is_whole_sequences_from_all_over_the_run(monkeypatch):
    class Reader:
        sequences = 100

        def __init__(self, manifests, context):
            self.context = context

        def tensors(self, ids):
            return torch.tensor(ids)[:, None].expand(-1, self.context), None

    monkeypatch.setattr("trainer.data.reader.SequenceReader", Reader)
    text = calibration_text([], context=64, tokens=640)
    assert text.shape == (10, 64)
    assert (text[0, 0], text[-1, 0]) == (0, 99)
