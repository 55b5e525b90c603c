"""`squeeze provenance`: what a model was trained on, under which licences, and what was removed, from its lineage."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.output import JsonOption, print_json, written_to
from pipeline.cli.terminal import ProfileOption, console, open_store, print_rows

app = typer.Typer()


@app.command()
def provenance(
    profile: ProfileOption = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for provenance.json, croissant.json and training_content.md."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Licences and shares of every source of the latest model, and what was removed of each and why.

    With --out also as a Croissant 1.1 data set and as a draft of the EU's public summary of training content.
    """
    from pipeline.reporting.provenance import provenance_of
    from pipeline.reporting.training_content import croissant_of, removed_rows, training_content_summary

    store = open_store(profile)
    model = store.current("model")
    made = provenance_of(model, store.ancestry(model))
    if out is not None:
        with written_to("--out", out):
            out.mkdir(parents=True, exist_ok=True)
            for name, value in (
                ("provenance.json", dataclasses.asdict(made)),
                ("croissant.json", croissant_of(made, store.profile)),
            ):
                (out / name).write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
            summary = training_content_summary(made, store.profile)
            (out / "training_content.md").write_text(summary, encoding="utf-8")
    if as_json:
        print_json(dataclasses.asdict(made))
        return
    rows = [
        {
            "corpus": corpus.name,
            "share": f"{corpus.share:.2%}",
            "tokens": f"{corpus.tokens:,}",
            "licence": corpus.license,
            "sources": ", ".join(corpus.sources),
            "read": corpus.read_at[:10],
        }
        for corpus in made.corpora
    ]
    print_rows(f"{store.profile}, model {made.model[:8]}: {made.tokens:,} training tokens", rows)
    print_rows("licences", [{"licence": name, "share": f"{part:.2%}"} for name, part in made.licenses.items()])
    print_rows("removed", removed_rows(made.corpora))
    masks = [{"corpus": corpus.name, **corpus.masks} for corpus in made.corpora if corpus.masks]
    if masks:
        print_rows("masked", masks)
    if out is not None:
        console.print(f"written: {out}/provenance.json, croissant.json, training_content.md", highlight=False)
