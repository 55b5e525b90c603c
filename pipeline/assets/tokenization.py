"""Group `tokenizers`: the mixture, each candidate, their comparison, the chosen one, and the encoded corpora."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import dagster as dg

from pipeline.assets.metadata import bars, chart, table
from pipeline.assets.stored_asset import Build, Metadata, StoredAsset
from pipeline.curation.corpus import CuratedCorpus
from pipeline.profile.profile import Profile
from pipeline.store import Artifact
from pipeline.tokenization.choosing.choice import SELECT_VERSION, select_tokenizer
from pipeline.tokenization.choosing.comparison import COMPARISON_VERSION, ModelShape, compare_tokenizers
from pipeline.tokenization.corpus_tokens.encode import TOKENS_VERSION, encode_corpus
from pipeline.tokenization.specs import load_specs, specs_folder
from pipeline.tokenization.training.build import TOKENIZER_VERSION, build_tokenizer
from pipeline.tokenization.training.mixture import MIXTURE_VERSION, build_mixture
from trainer.model.config import ModelConfig

GROUP: Final = "tokenizers"
Proxy = Callable[[Mapping[str, Path], list[Any]], Mapping[str, float]]


def stored_assets(profile: Profile) -> list[StoredAsset]:
    """The assets from the curated corpora to their tokens."""
    settings = profile.tokenizers
    folder = specs_folder(settings.folder)
    specs = load_specs(folder, settings.candidates)
    candidates = [f"tokenizer/{name}" for name in specs]
    corpora = [key for name in profile.corpora for key in corpus_inputs(name)]

    def mixture(build: Build) -> Any:
        return build_mixture(settings.sample, curated(profile, build), build.out)

    def tokenizer(name: str) -> StoredAsset:
        spec = specs[name]

        def make(build: Build) -> Any:
            mixture = build.path("mixture") if spec.trained else None
            return build_tokenizer(name, spec, build.out, cache=build.store.cache, folder=folder, mixture=mixture)

        return StoredAsset(
            key=f"tokenizer/{name}",
            group=GROUP,
            description=f"{spec.kind} tokenizer, from tokenizers/{name}.yaml: "
            + ("trained on the mixture's balanced sample." if spec.trained else "loaded from a pinned file."),
            version=TOKENIZER_VERSION,
            settings=spec,
            inputs=["mixture"] if spec.trained else [],
            make=make,
            metadata=_tokenizer_metadata,
        )

    def comparison(build: Build) -> Any:
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

    def chosen(build: Build) -> Any:
        return select_tokenizer(
            settings.select, build.path("tokenizer_comparison"), build.paths("tokenizer"), build.out
        )

    return [
        StoredAsset(
            key="mixture",
            group=GROUP,
            description="What there is, per corpus and language, and the balanced sample that trains tokenizers.",
            version=MIXTURE_VERSION,
            settings=settings.sample,
            inputs=corpora,
            make=mixture,
            metadata=_mixture_metadata,
            kinds=frozenset({"parquet"}),
        ),
        *map(tokenizer, specs),
        StoredAsset(
            key="tokenizer_comparison",
            group=GROUP,
            description="The candidates on the same held-out text: tokens they need, and what their vocabularies cost.",
            version=COMPARISON_VERSION,
            settings={"comparison": settings.comparison, "proxy": settings.proxy, "model": profile.model},
            inputs=["mixture", *candidates, *corpora],
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
            inputs=["tokenizer_comparison", *candidates],
            make=chosen,
            metadata=_chosen_metadata,
        ),
        *(_tokens(profile, name) for name in profile.corpora),
    ]


def _tokens(profile: Profile, name: str) -> StoredAsset:
    def make(build: Build) -> Any:
        return encode_corpus(name, curated(profile, build)[name], build.path("tokenizer"), build.out)

    return StoredAsset(
        key=f"tokens/{name}",
        group=GROUP,
        description="The curated and held-out documents, encoded once, unshuffled; every epoch and run reuses them.",
        version=TOKENS_VERSION,
        settings={},
        inputs=["tokenizer", *corpus_inputs(name)],
        make=make,
        metadata=_tokens_metadata,
        kinds=frozenset({"arrow"}),
    )


def corpus_inputs(name: str) -> list[str]:
    """Keys of what makes up a curated corpus: the text, the selection over it, and the held-out documents."""
    return [f"documents/{name}", f"corpus/{name}", f"heldout/{name}"]


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
    import torch

    from trainer.model import GPT

    with torch.device("meta"):
        shape = GPT(model)
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


def _mixture_metadata(artifact: Artifact) -> Metadata:
    facts = artifact.summary
    rows = [
        {"language": name, "share of text": f"{row['share']:.1%}", "share of sample": f"{row['sample_share']:.1%}"}
        for name, row in facts["languages"].items()
    ]
    return {
        "documents": facts["documents"],
        "text_bytes": facts["bytes"],
        "sample_bytes": facts["sample_bytes"],
        "corpora": bars({name: row["bytes"] / 1e6 for name, row in facts["corpora"].items()}, "MB"),
        "languages": table(rows),
    }


def _tokenizer_metadata(artifact: Artifact) -> Metadata:
    facts = artifact.summary
    return {
        **{name: facts[name] for name in ("vocab_size", "eot_id", "dtype", "reference", "bulk_path")},
        **({"notes": "; ".join(facts["notes"])} if facts["notes"] else {}),
    }


def _comparison_pictures(facts: Mapping[str, Any], folder: Path) -> Mapping[str, bytes]:
    from pipeline.reporting.plots.tokenizers import tokenizer_png

    rows = [
        {
            "name": name,
            "bytes_per_token": {
                f"{group['corpus']} {group['lang']}": group["bytes_per_token"]
                for group in facts["groups"]
                if group["tokenizer"] == name
            },
        }
        for name in facts["tokenizers"]
    ]
    return {"bytes_per_token": tokenizer_png(rows)}


def _comparison_metadata(artifact: Artifact) -> Metadata:
    facts = artifact.summary
    rows = [
        {
            "tokenizer": name,
            "vocabulary": row["vocab_size"],
            "bytes per token": round(row["bytes_per_token"], 3),
            "embedding parameters": row["embedding_parameters"],
            "embedding share": f"{row['embedding_share']:.1%}",
            "relative training cost": round(row["relative_cost"], 2),
            "vocabulary used": f"{row['vocabulary_used']:.1%}",
            f"rows seen under {row['rare_below']} times": row["rare_rows"],
            "round-trip failures": row["round_trip_failures"],
            **({"proxy bits/byte": row["proxy_bits_per_byte"]} if row.get("proxy_bits_per_byte") is not None else {}),
            "MB/s": round(facts["encode_mb_per_second"][name], 1),
            "encoder": row["bulk_path"],
        }
        for name, row in facts["tokenizers"].items()
    ]
    return {
        "compression": chart(
            {name: row["bytes_per_token"] for name, row in facts["tokenizers"].items()}, "bytes per token"
        ),
        "candidates": table(rows),
        "by_corpus_and_language": table(
            [
                {
                    key: group[key]
                    for key in ("tokenizer", "corpus", "lang", "bytes_per_token", "tokens_per_word", "parity")
                }
                for group in facts["groups"]
            ]
        ),
    }


def _chosen_metadata(artifact: Artifact) -> Metadata:
    facts = artifact.summary
    return {"tokenizer": facts["name"], "reason": facts["reason"], "vocab_size": facts["vocab_size"]}


def _tokens_metadata(artifact: Artifact) -> Metadata:
    facts = artifact.summary
    return {
        "tokens": facts["train"]["tokens"],
        "documents": facts["train"]["documents"],
        "heldout_tokens": facts["heldout"]["tokens"],
        "bytes_per_token": round(facts["bytes_per_token"], 3),
        "encoder": dg.MetadataValue.text(facts["encoder"]),
        "documents_compared_with_the_reference": facts["gate_documents"],
        "dtype": facts["dtype"],
    }
