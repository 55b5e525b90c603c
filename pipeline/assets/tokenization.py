"""Group `tokenizers`: the mixture, each candidate, their comparison, the chosen one, and the encoded corpora."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import dagster as dg

from pipeline.assets.curation import WORKERS
from pipeline.assets.metadata import bars, chart, table
from pipeline.assets.stored_asset import Build, Metadata, StoredAsset
from pipeline.curation.corpus import CuratedCorpus
from pipeline.profile.profile import Profile
from pipeline.tokenization.choosing.choice import SELECT_VERSION, ChoiceSummary, select_tokenizer
from pipeline.tokenization.choosing.comparison import (
    COMPARISON_VERSION,
    ComparisonSummary,
    ModelShape,
    compare_tokenizers,
)
from pipeline.tokenization.corpus_tokens.encode import TOKENS_VERSION, TokensSummary, encode_corpus
from pipeline.tokenization.settings import TokenizationSettings
from pipeline.tokenization.specs import folder_with, load_specs, specs_folders
from pipeline.tokenization.training.build import TOKENIZER_VERSION, TokenizerSummary, build_tokenizer
from pipeline.tokenization.training.mixture import MIXTURE_VERSION, MixtureSummary, build_mixture
from trainer.model.config import ModelConfig

GROUP: Final = "tokenizers"
Proxy = Callable[[Mapping[str, Path], list[Any]], Mapping[str, float]]


def stored_assets(profile: Profile) -> list[StoredAsset[Any]]:
    """The assets from the curated corpora to their tokens."""
    settings = profile.tokenizers
    folders = specs_folders(settings.folder)
    specs = load_specs(folders, settings.candidates)
    candidates = [f"tokenizer/{name}" for name in specs]
    corpora = all_corpora(profile)

    def mixture(build: Build) -> MixtureSummary:
        return build_mixture(settings.sample, curated(profile, build), build.out)

    def tokenizer(name: str) -> StoredAsset[Any]:
        spec = specs[name]

        def make(build: Build) -> TokenizerSummary:
            mixture = build.path("mixture") if spec.trained else None
            folder = folder_with(folders, name)
            return build_tokenizer(name, spec, build.out, cache=build.store.cache, folder=folder, mixture=mixture)

        return StoredAsset(
            key=f"tokenizer/{name}",
            group=GROUP,
            description=f"{spec.kind} tokenizer, from tokenizers/{name}.yaml: "
            + ("trained on the mixture's balanced sample." if spec.trained else "loaded from a pinned file."),
            version=TOKENIZER_VERSION,
            settings=spec,
            inputs=["mixture"] if spec.trained else [],
            summary=TokenizerSummary,
            make=make,
            metadata=_tokenizer_metadata,
            priority=0 if name == settings.named else _waits(settings),
        )

    def comparison(build: Build) -> ComparisonSummary:
        folders = build.paths("tokenizer")
        shape = model_shape(profile.model)
        return compare_tokenizers(
            settings.comparison,
            folders,
            curated(profile, build),
            build.path("mixture"),
            build.out,
            shape=shape,
            proxy=_proxy(profile, build),
        )

    def chosen(build: Build) -> ChoiceSummary:
        comparison = None if settings.named else build.path("tokenizer_comparison")
        return select_tokenizer(settings.select, comparison, build.paths("tokenizer"), build.out)

    return [
        StoredAsset(
            key="mixture",
            group=GROUP,
            description="What there is, per corpus and language, and the balanced sample that trains tokenizers.",
            version=MIXTURE_VERSION,
            settings=settings.sample,
            inputs=corpora,
            summary=MixtureSummary,
            make=mixture,
            metadata=_mixture_metadata,
            kinds=frozenset({"parquet"}),
        ),
        *map(tokenizer, specs),
        StoredAsset(
            key="tokenizer_comparison",
            group=GROUP,
            description="The candidates on the same held-out text: tokens they need, and what their vocabularies cost.",
            priority=_waits(settings),
            version=COMPARISON_VERSION,
            settings={"comparison": settings.comparison, "proxy": settings.proxy, "model": profile.model},
            inputs=["mixture", *candidates, *corpora],
            summary=ComparisonSummary,
            make=comparison,
            metadata=_comparison_metadata,
            pictures=_comparison_pictures,
        ),
        StoredAsset(
            key="tokenizer",
            group=GROUP,
            description=f"The tokenizer everything after uses: `select: {settings.select}`.",
            version=SELECT_VERSION,
            settings={"select": settings.select},
            inputs=[f"tokenizer/{settings.named}"] if settings.named else ["tokenizer_comparison", *candidates],
            summary=ChoiceSummary,
            make=chosen,
            metadata=_chosen_metadata,
        ),
        *(_tokens(profile, name) for name in profile.corpora),
    ]


def _waits(settings: TokenizationSettings) -> int:
    """The priority of what a choice by name does not need: it is made after what does, such as the model."""
    return -1 if settings.named else 0


def _tokens(profile: Profile, name: str) -> StoredAsset[Any]:
    def make(build: Build) -> TokensSummary:
        corpus, tokenizer = curated(profile, build)[name], build.path("tokenizer")
        with build.executor(profile.engine, profile.curation.workers, WORKERS) as executor:
            return encode_corpus(name, corpus, tokenizer, build.out, executor=executor)

    return StoredAsset(
        key=f"tokens/{name}",
        group=GROUP,
        description="The curated and held-out documents, encoded once, unshuffled; every epoch and run reuses them.",
        version=TOKENS_VERSION,
        settings={},
        inputs=["tokenizer", *corpus_inputs(name)],
        summary=TokensSummary,
        make=make,
        metadata=_tokens_metadata,
        kinds=frozenset({"arrow"}),
    )


def corpus_inputs(name: str) -> list[str]:
    """Keys of what makes up a curated corpus: the text, the selection over it, and the held-out documents."""
    return [f"documents/{name}", f"corpus/{name}", f"heldout/{name}"]


def all_corpora(profile: Profile) -> list[str]:
    """Keys of what makes up every curated corpus."""
    return [key for name in profile.corpora for key in corpus_inputs(name)]


def curated(profile: Profile, build: Build) -> dict[str, CuratedCorpus]:
    """The curated corpora that are inputs of a build."""
    return {
        name: CuratedCorpus(
            build.path(f"documents/{name}"), build.path(f"corpus/{name}"), build.path(f"heldout/{name}")
        )
        for name in profile.corpora
        if f"corpus/{name}" in build.inputs
    }


def model_shape(model: ModelConfig) -> ModelShape:
    """What of the model sets the price of a vocabulary, counted on a model without storage."""
    from trainer.model import shape_of

    shape = shape_of(model)
    counts, width = shape.parameter_counts(), model.embedding_width or model.width
    return ModelShape(
        width=width,
        body_parameters=counts["active"] - counts["embedding"],
        body_flops=float(shape.flops_per_token() - 6 * model.vocab_size * width),
        tied=model.tied,
    )


def _proxy(profile: Profile, build: Build) -> Proxy | None:
    """The small training run a candidate, where the profile asks for it."""
    settings = profile.tokenizers.proxy
    if settings is None:
        return None

    def run(folders: Mapping[str, Path], heldout: list[Any]) -> Mapping[str, float]:
        from pipeline.tokenization.choosing.proxy import proxy_bits_per_byte

        return proxy_bits_per_byte(settings, profile.model, folders, build.path("mixture"), heldout)

    return run


def _mixture_metadata(summary: MixtureSummary, folder: Path) -> Metadata:
    rows = [
        {"language": name, "share of text": f"{row.share:.1%}", "share of sample": f"{row.sample_share:.1%}"}
        for name, row in summary.languages.items()
    ]
    return {
        "documents": summary.documents,
        "text_bytes": summary.bytes,
        "sample_bytes": summary.sample_bytes,
        "corpora": bars({name: row.bytes / 1e6 for name, row in summary.corpora.items()}, "MB"),
        "languages": table(rows),
    }


def _tokenizer_metadata(summary: TokenizerSummary, folder: Path) -> Metadata:
    return {
        "vocab_size": summary.vocab_size,
        "eot_id": summary.eot_id,
        "dtype": summary.dtype,
        "reference": summary.reference,
        "bulk_path": summary.bulk_path,
        **({"notes": "; ".join(summary.notes)} if summary.notes else {}),
    }


def _comparison_pictures(summary: ComparisonSummary, folder: Path) -> Mapping[str, bytes]:
    from pipeline.reporting.plots.tokenizers import tokenizer_png

    rows = [
        {
            "name": name,
            "bytes_per_token": {
                f"{group.corpus} {group.lang}": group.bytes_per_token
                for group in summary.groups
                if group.tokenizer == name
            },
        }
        for name in summary.tokenizers
    ]
    return {"bytes_per_token": tokenizer_png(rows)}


def _comparison_metadata(summary: ComparisonSummary, folder: Path) -> Metadata:
    rows = [
        {
            "tokenizer": name,
            "vocabulary": row.vocab_size,
            "bytes per token": round(row.bytes_per_token, 3),
            "embedding parameters": row.embedding_parameters,
            "embedding share": f"{row.embedding_share:.1%}",
            "relative training cost": round(row.relative_cost, 2),
            "vocabulary used": f"{row.vocabulary_used:.1%}",
            f"rows seen under {row.rare_below} times": row.rare_rows,
            "round-trip failures": row.round_trip_failures,
            **({"proxy bits/byte": row.proxy_bits_per_byte} if row.proxy_bits_per_byte is not None else {}),
            "MB/s": round(summary.encode_mb_per_second[name], 1),
            "encoder": row.bulk_path,
        }
        for name, row in summary.tokenizers.items()
    ]
    return {
        "compression": chart(
            {name: row.bytes_per_token for name, row in summary.tokenizers.items()}, "bytes per token"
        ),
        "candidates": table(rows),
        "by_text": table(
            [
                {
                    "tokenizer": group.tokenizer,
                    "text": f"{group.corpus} {group.lang}",
                    "bytes/token": group.bytes_per_token,
                    "tokens/word": group.tokens_per_word,
                    "parity": group.parity,
                }
                for group in summary.groups
            ]
        ),
    }


def _chosen_metadata(summary: ChoiceSummary, folder: Path) -> Metadata:
    return {"tokenizer": summary.name, "reason": summary.reason, "vocab_size": summary.vocab_size}


def _tokens_metadata(summary: TokensSummary, folder: Path) -> Metadata:
    return {
        "tokens": summary.train.tokens,
        "documents": summary.train.documents,
        "heldout_tokens": summary.heldout.tokens,
        "bytes_per_token": round(summary.bytes_per_token, 3),
        "encoder": dg.MetadataValue.text(summary.encoder),
        "documents_compared_with_the_reference": summary.gate_documents,
        "dtype": summary.dtype,
    }
