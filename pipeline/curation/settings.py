"""Settings of curation: where a corpus comes from, how its text is normalised, and what of it is kept.

Three groups that rebuild different things. `CorpusSettings.documents` (sources, normalising, splitting) shapes
`documents/<corpus>` and is the only group that fetches or rewrites text. `CorpusSettings.filters` holds thresholds over
stored signals and shapes only `corpus/<corpus>`. `CurationSettings` holds what spans the corpora: the held-out split,
near duplicates and contamination.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from pipeline.base.archives import Archive
from pipeline.base.settings import Settings, later, runtime
from pipeline.curation.filters.filter import Share
from pipeline.curation.filters.filters import Filters
from pipeline.curation.sources.hub.kept import KEPT_BYTES
from pipeline.curation.sources.settings import Source
from pipeline.curation.text.languages import language_code
from pipeline.curation.text.settings import Normalizing


class DocumentsSettings(Settings):
    """What shapes `documents/<corpus>`: a change here fetches and rewrites text."""

    sources: list[Source] = Field(min_length=1)
    normalizing: Normalizing = Normalizing()
    split_bytes: int | None = Field(None, ge=256)
    """Longest document in bytes; longer ones are cut at paragraph boundaries into pieces of one group."""
    refuse_bytes: int = Field(10_000_000, ge=1000)
    """Records of more bytes than this are quarantined (where `split_bytes` is unset)."""
    most_lost_share: Share = runtime(0.1)
    """Largest share of the bytes that may be set aside in whole files that could not be read (not in the encoding, PDF
    and office files, damaged): beyond it the build stops and says what to do; up to it the log does, and of single
    records (no JSON, no text, too long), however many."""
    document_seconds: float = Field(30.0, gt=0.0)
    """Processor seconds that a document may take, and as many for every further million characters; one that takes
    longer is quarantined. Text takes a hundredth of it at most, on a slow machine too, so what is kept depends on none;
    since this decides what is kept all the same, another value makes the documents anew."""


class DomainCap(Settings):
    """The most that a corpus takes from one domain; a document over any of these goes, as the last step of selecting.
    It takes sources with a `url_field`; documents without an address are under no cap."""

    most_documents: int | None = Field(None, ge=1)
    most_bytes: int | None = Field(None, ge=1)
    most_share: Annotated[float, Field(gt=0.0, lt=1.0)] | None = None
    """Of the corpus's bytes, as they are before this step."""
    by: Literal["domain", "host"] = "domain"
    """`domain` is what is registered, such as `bbc.co.uk`, by the Public Suffix List (extra `[domains]`); `host` the
    whole name, such as `news.bbc.co.uk`."""

    @model_validator(mode="after")
    def _at_least_one(self) -> Self:
        if self.most_documents is None and self.most_bytes is None and self.most_share is None:
            raise ValueError("give most_documents, most_bytes or most_share")
        return self


class CorpusSettings(DocumentsSettings):
    """One corpus of the profile."""

    description: str = runtime("")
    license: str | None = runtime(None)
    """Licence of the text, as an SPDX name or URL, for the data set's description."""
    estimated_bytes: int | None = runtime(None, ge=1)
    """Rough size of the text, for `squeeze plan` before anything is fetched."""
    filters: Filters = Filters()
    """Thresholds over stored signals, for every document."""
    languages: dict[str, Filters] = Field(default_factory=dict)
    """Thresholds for documents of one language, in place of `filters` (an unset threshold keeps the one there)."""
    domain_cap: DomainCap | None = later(None)
    """The most that is taken from one domain of the web."""
    heldout_share: Share | None = None
    """Share of this corpus's bytes that is held out; `curation.heldout.share` where unset."""
    language_share: Share = runtime(0.9)
    """Least share of the curated bytes that must be detected as a language the corpus declares (`filters.language`, or
    the sources' `lang`); a blocking check. Short texts and rare languages are taken for others: lower it there."""

    @property
    def documents(self) -> DocumentsSettings:
        """The part that shapes `documents/<corpus>`."""
        return DocumentsSettings(**{name: getattr(self, name) for name in DocumentsSettings.model_fields})

    @property
    def allowed_languages(self) -> frozenset[str]:
        """The languages that the corpus declares: those its filters keep, else those its sources are in."""
        if self.filters.language is not None:
            return frozenset(self.filters.language)
        langs = [source.lang for source in self.sources]
        return frozenset(lang for lang in langs if lang is not None) if None not in langs else frozenset()

    @property
    def quality_models(self) -> tuple[str, ...]:
        """The quality models that its filters, of any language, look at."""
        groups = (self.filters, *self.languages.values())
        return tuple(dict.fromkeys(name for group in groups for name in group.quality))

    def filters_for(self, lang: str) -> Filters:
        """The thresholds for a document's language."""
        special = self.languages.get(lang)
        return self.filters if special is None else self.filters.merged(special)

    @field_validator("languages", mode="before")
    @classmethod
    def _one_form_of_each_language(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        given_as: dict[str, str] = {}
        for given in value:
            code = language_code(str(given))
            if code in given_as:
                raise ValueError(f"{given_as[code]!r} and {given!r} are one language, {code!r}: put them together")
            given_as[code] = given
        return {code: value[given] for code, given in given_as.items()}


class HeldoutSettings(Settings):
    """The validation split: by group, in keyed-hash order, frozen before any filter."""

    share: float = Field(0.05, gt=0.0, lt=1.0)
    """Share of a corpus's bytes to hold out; whole groups are taken until it is reached."""
    seed: int = 1


class NearDuplicateSettings(Settings):
    """MinHash with locality-sensitive hashing, every candidate pair verified by its exact Jaccard similarity."""

    enabled: bool = True
    """False finds exact duplicates only."""
    similarity: float = Field(0.7, gt=0.0, le=1.0)
    """Least Jaccard similarity of two documents' sets of word 5-grams for them to be duplicates."""
    bands: Literal[7, 8, 14, 16, 28] = 14
    """Bands that the 112 rows of a signature are cut into; more of them find pairs that are less similar."""


class RepeatedLineSettings(Settings):
    """Whole lines that many documents have: menus, notices, calls to subscribe."""

    least_documents: int = Field(10, ge=3)
    """Documents that a line must stand in, over all corpora. Verse, refrains and short dialogue are in several too."""
    least_bytes: int = Field(24, ge=1)


class PassageSettings(Settings):
    """Passages that documents share, word for word, though they are no near duplicates: one copy stays, the others are
    cut out of their documents."""

    least_bytes: int = Field(200, ge=64)
    """Shortest passage; Lee et al. 2022 take 50 tokens, about as much."""
    lines: RepeatedLineSettings | None = None
    """Lines that are cut although they are shorter; `{}` has the defaults."""
    least_left: int = Field(200, ge=0)
    """A document of which a cut leaves fewer bytes goes as a whole."""


class ContaminationSettings(Settings):
    """Documents that share long n-grams with evaluation items."""

    ngram: int = Field(13, ge=5, le=50)
    """Words of the n-grams (GPT-3 and lm-eval: 13)."""
    short_item_words: int = Field(6, ge=3)
    """Shortest item, in words, that is looked for as a whole when it is shorter than `ngram`."""


class StaticEmbedding(Settings):
    """A table of vectors, one a token, of a pinned package, which is read and never installed."""

    archive: Archive
    weights: str
    """The package's file with the table, in the form of safetensors."""
    tokenizer: str
    """Its file with the tokenizer, in that of `tokenizers`."""


class QualityModelSettings(Settings):
    """A linear classifier, or regression, over hashed word n-grams, trained in seconds on a CPU. What it learns is
    either `like` against `unlike`, or the score of the `rated` corpora."""

    like: tuple[str, ...] = ()
    """Corpora whose documents are what good text looks like, such as textbooks."""
    unlike: tuple[str, ...] = ()
    """Corpora to tell them from, such as the web text that is to be judged."""
    rated: tuple[str, ...] = ()
    """Corpora whose sources have a `score_field`, such as FineWeb-Edu's: that score is learned, and predicted for
    others."""
    ngram: int = Field(2, ge=1, le=4)
    """Longest n-grams of words that count."""
    bits: int = Field(18, ge=8, le=24)
    """Weights: 2 to the power of this, which n-grams share by their hashes."""
    most_bytes: int = Field(32_000_000, ge=1)
    """Text of each side that is learned from at most; documents are drawn by a hash of their ids."""
    validation_share: float = Field(0.1, gt=0.0, lt=1.0)
    """Share of the groups (books, articles) that calibrate and judge the model in place of training it."""
    penalty: float = Field(1e-5, gt=0.0)
    """Times half the squared length of the weights, added to the mean loss: more of it trusts rare n-grams less."""
    seed: int = Field(1, ge=0, lt=2**63)
    embedding: StaticEmbedding | None = later(None)
    """Means of tokens' vectors in place of n-grams (`ngram` and `bits` do not count then): fewer examples teach it."""

    @model_validator(mode="after")
    def _one_thing_to_learn(self) -> Self:
        two_sides = bool(self.like) and bool(self.unlike)
        if bool(self.like) != bool(self.unlike) or two_sides == bool(self.rated):
            raise ValueError("name corpora under `like` and `unlike`, or under `rated` alone")
        if both := sorted({*self.like} & {*self.unlike}):
            raise ValueError(f"{', '.join(both)} cannot be under `like` and `unlike` at once")
        return self

    @property
    def corpora(self) -> tuple[str, ...]:
        """What it learns from."""
        return tuple(dict.fromkeys((*self.like, *self.unlike, *self.rated)))


class CurationSettings(Settings):
    """What spans the corpora."""

    heldout: HeldoutSettings = HeldoutSettings()
    near_duplicates: NearDuplicateSettings = NearDuplicateSettings()
    contamination: ContaminationSettings = ContaminationSettings()
    passages: PassageSettings | None = later(None)
    """Repeated passages and lines, which are cut; `{}` has the defaults, by default none are looked for."""
    decontaminate_against: tuple[str, ...] = ()
    """Evaluation tasks whose items may not occur in training text."""
    quality: dict[str, QualityModelSettings] = later({})
    """Quality models by name. A corpus is scored with those that its `filters.quality` names."""
    workers: int = runtime(0, ge=0)
    """Processes for cleaning text on a machine; 0 takes one a core."""
    hub_cache_bytes: int = runtime(KEPT_BYTES, ge=0)
    """How much of what was fetched of the hub is kept, in the store's cache, for the next profile that reads it; what
    was used longest ago goes first."""
