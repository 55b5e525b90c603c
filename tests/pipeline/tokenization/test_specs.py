"""What a specification file may say, and what a wrong one is told."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from pipeline.base.errors import TokenizerError
from pipeline.tokenization.settings import TokenizationSettings
from pipeline.tokenization.specs import folder_with, load_spec, load_specs, parse_spec, specs_folders
from pipeline.tokenization.training.bpe import BpeSpec
from pipeline.tokenization.training.build import build_tokenizer

SPECS = Path(__file__).resolve().parents[3] / "tokenizers"


def test_every_specification_of_the_project_is_valid() -> None:
    names = sorted(path.stem for path in SPECS.glob("*.yaml"))
    assert {"bpe_2k", "gpt2"} <= set(names)
    assert list(load_specs([SPECS], names)) == names


def test_the_folder_of_specifications_holds_data_only() -> None:
    assert not [path for path in SPECS.rglob("*") if path.suffix in (".py", ".pyi")]


def test_names_mean_the_same_in_every_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tokenizers").mkdir()
    (tmp_path / "tokenizers" / "bpe_2k.yaml").write_text("kind: bpe\nvocab_size: 300\n")
    monkeypatch.chdir(tmp_path)
    assert specs_folders(None) == (SPECS,)


def test_a_folder_of_ones_own_comes_before_the_one_that_is_shipped(tmp_path: Path) -> None:
    (tmp_path / "bpe_2k.yaml").write_text("kind: bpe\nvocab_size: 300\n")
    (tmp_path / "mine.yaml").write_text("kind: bpe\nvocab_size: 301\n")
    folders = specs_folders(str(tmp_path))
    specs = load_specs(folders, ["bpe_2k", "mine", "gpt2"])
    assert [getattr(specs[name], "vocab_size", None) for name in ("bpe_2k", "mine")] == [300, 301]
    assert [folder_with(folders, name) for name in specs] == [tmp_path, tmp_path, SPECS]


def test_a_folder_that_is_not_there_is_named_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match=r"tokenizers\.folder is .*nowhere'.*the folder of the profile's file"):
        specs_folders(str(tmp_path / "nowhere"))


def test_a_description_is_no_part_of_the_identity() -> None:
    one = parse_spec({"kind": "bpe", "vocab_size": 300, "description": "a"}, where="x")
    two = parse_spec({"kind": "bpe", "vocab_size": 300, "description": "b"}, where="x")
    assert one.identity() == two.identity()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"kind": "wordpiece"}, "kind 'wordpiece'; use one of tiktoken, tokenizer_json"),
        ({"vocab_size": 300}, "no kind; use one of"),
        ([1], "a specification is a mapping"),
        ({"kind": "bpe", "vocab_size": 300, "patern": "gpt2"}, "patern: unknown key; did you mean .pattern.\\?"),
        ({"kind": "bpe"}, "vocab_size: missing, must be given"),
        ({"kind": "bpe", "vocab_size": 256}, "smaller than the alphabet.*at least 257"),
        ({"kind": "bpe", "vocab_size": 300, "digits": 4}, "digits: .*(found 4)"),
        ({"kind": "bpe", "vocab_size": 300, "pattern": "gpt2", "digits": 1}, "use cl100k or o200k"),
        ({"kind": "tokenizer_json", "file": {"sha256": "0" * 64}}, "give either `path`, or `archive`"),
        ({"kind": "tokenizer_json", "file": {"path": "x", "sha256": "12"}}, "file.sha256"),
        (
            {"kind": "tokenizer_json", "file": {"pth": "x", "sha256": "0" * 64}},
            "file.pth: unknown key; did you mean .path.",
        ),
        ({"kind": ["bpe"]}, "kind .'bpe'.; use one of"),
    ],
)
def test_a_wrong_specification_names_the_file_and_the_key(data: object, message: str) -> None:
    with pytest.raises(TokenizerError, match=message) as error:
        parse_spec(data, where="tokenizers/mine.yaml")
    assert str(error.value).startswith("tokenizers/mine.yaml")


def test_an_unknown_name_is_told_the_nearest() -> None:
    with pytest.raises(TokenizerError, match=r"no tokenizer 'gpt_2'.*did you mean 'gpt2'\?; there are bpe_16k, "):
        load_spec(SPECS, "gpt_2")


def test_yaml_that_cannot_be_read_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text("kind: [")
    with pytest.raises(TokenizerError, match=r"broken\.yaml is not readable YAML"):
        load_spec(tmp_path, "broken")


def test_specifications_are_yaml_1_2(tmp_path: Path) -> None:
    (tmp_path / "no.yaml").write_text("kind: bpe\nvocab_size: 300\nend_of_text: no\n")
    spec = load_spec(tmp_path, "no")
    assert isinstance(spec, BpeSpec)
    assert spec.end_of_text == "no"


def test_select_is_a_candidate_or_a_criterion() -> None:
    assert TokenizationSettings(candidates=("a", "b"), select="cheapest_training").select == "cheapest_training"
    with pytest.raises(ValidationError, match="select is 'c'; use one of the candidates"):
        TokenizationSettings(candidates=("a", "b"), select="c")
    with pytest.raises(ValidationError, match="more than once"):
        TokenizationSettings(candidates=("a", "a"), select="a")
    with pytest.raises(ValidationError, match="needs the proxy runs"):
        TokenizationSettings(candidates=("a",), select="proxy_bits_per_byte")


@pytest.mark.parametrize(
    "spec", [{"kind": "bpe", "vocab_size": 60_000}, {"kind": "sentencepiece_unigram", "vocab_size": 60_000}]
)
def test_a_vocabulary_that_cannot_be_filled_names_the_file_to_write(spec: dict[str, object], tmp_path: Path) -> None:
    sample = {"text": ["a fox ran by the river. " * 50], "lang": ["en"], "corpus": ["a"], "bytes": [1200]}
    pq.write_table(pa.table(sample), tmp_path / "sample.parquet")
    places = {"cache": tmp_path, "folder": SPECS, "mixture": tmp_path}
    with pytest.raises(TokenizerError, match=r"fills only .*tokenizers/big\.yaml.*tokenizers\.folder") as error:
        build_tokenizer("big", parse_spec(spec, where="big"), tmp_path / "out", **places)
    assert "tokenizers.select" in str(error.value)
