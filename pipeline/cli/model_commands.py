"""Commands about models: a page about one, two side by side, and one taken out of the store."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from pipeline.base.errors import SqueezeError
from pipeline.base.numbers import size
from pipeline.cli.output import JsonOption, print_json, write_page, written_to
from pipeline.cli.terminal import MODEL_KEY, ProfileOption, console, open_store, print_rows

if TYPE_CHECKING:
    from pipeline.reporting.facts import Facts
    from pipeline.store import Store

app = typer.Typer()


class Layout(StrEnum):
    """What a model is exported as."""

    TRANSFORMERS = "transformers"
    GGUF = "gguf"


@app.command()
def report(
    out: Annotated[Path, typer.Option(help="File to write.")] = Path("report.html"),
    profile: ProfileOption = None,
    open_it: Annotated[bool, typer.Option("--open", help="Open the page in the browser too.")] = False,
) -> None:
    """Write the HTML page about the latest model, with whatever of it has been evaluated."""
    from pipeline.reporting.facts import facts_of
    from pipeline.reporting.page import report_html

    store = open_store(profile)
    write_page("--out", out, report_html(facts_of(store, store.current(MODEL_KEY))))
    console.print(f"{escape(str(out))} ({size(out.stat().st_size)})", soft_wrap=True)
    if open_it:
        _open_in_browser(out)


@app.command()
def compare(
    a: Annotated[str, typer.Argument(help="A profile, or the beginning of a model's fingerprint.")],
    b: Annotated[str, typer.Argument(help="Another.")],
    as_json: JsonOption = False,
) -> None:
    """Two models side by side: what differs in settings and inputs, scores with a verdict, cost."""
    from pipeline.reporting import compare as side_by_side

    store = open_store(None, whole=True)
    facts = (_facts_of(store, a), _facts_of(store, b))
    parts = {
        "settings that differ": side_by_side.differing_settings(*facts),
        "inputs that differ": side_by_side.differing_inputs(*facts),
        "scores": side_by_side.compared_scores(*facts),
        "cost": side_by_side.compared_costs(*facts),
    }
    if as_json:
        print_json({title.replace(" ", "_"): rows for title, rows in parts.items()})
        return
    for title, rows in parts.items():
        print_rows(title, rows)


@app.command()
def export(
    out: Annotated[Path | None, typer.Option(help="Folder to copy the model to; it must not exist.")] = None,
    push_to_hub: Annotated[
        str | None, typer.Option(metavar="ORG/NAME", help="Repository of the Hugging Face hub to upload it to.")
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private.")] = False,
    bits: Annotated[
        int | None,
        typer.Option(help="Write one file instead, model and tokenizer, with so many bits a weight: 2 to 8, 16 or 32."),
    ] = None,
    group: Annotated[
        int | None, typer.Option(help="With --bits: weights that share a scale; default a whole row.")
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            help="With --bits: gptq (the default) rounds by what training text needs, nearest each weight alone."
        ),
    ] = None,
    layout: Annotated[
        Layout, typer.Option("--format", help="gguf: one file for llama.cpp, in 32, 16, 8 or 4 bits (--bits).")
    ] = Layout.TRANSFORMERS,
    profile: ProfileOption = None,
) -> None:
    """Copy the latest model, as a stock transformers class with its tokenizer and card, or push it to the hub.

    The card has the scores that the model has by now. With --bits: one file for `squeeze score`, made smaller still
    where its name ends in .xz; with --format gguf, one for llama.cpp.
    """
    from pipeline.cli.publishing import copy_model, push_model, write_gguf, write_in_bits
    from pipeline.reporting.card import card_of

    if out is None and push_to_hub is None:
        raise SqueezeError("say where to: --out FOLDER, --push-to-hub ORG/NAME, or both")
    store = open_store(profile)
    if layout is Layout.GGUF:
        if out is None or push_to_hub is not None or group is not None or method not in (None, "nearest"):
            raise SqueezeError(
                "--format gguf writes one file: name it with --out FILE, without --push-to-hub, --group and --method"
            )
        with written_to("--out", out):
            console.print(escape(write_gguf(store, out, 32 if bits is None else bits)), soft_wrap=True)
        return
    if bits is not None:
        if out is None or push_to_hub is not None:
            raise SqueezeError("--bits writes one file: name it with --out FILE, without --push-to-hub")
        with written_to("--out", out):
            console.print(escape(write_in_bits(store, out, bits, group, method or "gptq")), soft_wrap=True)
        return
    artifact = store.current("model_hf")
    card = card_of(store, artifact)
    if out is not None:
        with written_to("--out", out):
            copy_model(artifact, out, card)
        said = f"{out}: {artifact.summary['architecture']}, {size(artifact.manifest.size)}"
        console.print(escape(said), soft_wrap=True)
    if push_to_hub is not None:
        console.print(escape(push_model(artifact, push_to_hub, card, private=private)), soft_wrap=True)


def _open_in_browser(page: Path) -> None:
    import webbrowser

    address = page.absolute().as_uri()
    if not webbrowser.open(address):
        raise SqueezeError(f"--open: no browser is found here; open {address} in one, or set BROWSER to a program")


def _facts_of(store: Store, name: str) -> Facts:
    """Facts about the model that a profile's name or the beginning of a fingerprint stands for."""
    from pipeline.reporting.facts import facts_of

    models = {item.fingerprint: item for item in store.artifacts(MODEL_KEY)}
    current = {profile: item for profile, key, item in store.pointers() if key == MODEL_KEY and item is not None}
    named = [current[name]] if name in current else [item for print_, item in models.items() if print_.startswith(name)]
    if len(named) != 1:
        known = ", ".join([*current, *(print_[:8] for print_ in models)])
        raise SqueezeError(f"{name!r} stands for {len(named)} models of the store; there are {known or 'none'}")
    (model,) = named
    return facts_of(store, model, name, profile=name if name in current else model.manifest.built.profile)
