"""`squeeze scorecard`: every score of the current model beside what it compares with, as a table or as JSON."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.markup import escape

from pipeline.base.numbers import figure, minutes_or_hours, short
from pipeline.cli.terminal import ProfileOption, console, open_store, print_rows

if TYPE_CHECKING:
    from pipeline.evaluation.scores.scorecard import Scorecard
    from pipeline.store import Artifact

SCORECARD_KEY: Final = "scorecard"

app = typer.Typer()


@app.command()
def scorecard(
    profile: ProfileOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object in place of tables.")] = False,
) -> None:
    """The scores of the latest model: bits per byte beside compressors, benchmarks beside chance, and what it took."""
    from pipeline.evaluation.scores.scorecard import read_scorecard
    from pipeline.reporting.scores import BITS_PER_BYTE, not_possible_rows, rows_beside

    store = open_store(profile)
    artifact = store.current(SCORECARD_KEY)
    card = read_scorecard(artifact.path)
    if as_json:
        typer.echo(json.dumps(_as_json(artifact, card, store.profile), indent=1, ensure_ascii=False))
        return
    model = artifact.manifest.inputs["model"].fingerprint
    console.print(f"[bold]{escape(store.profile)}[/], model [cyan]{model[:8]}[/]: {escape(_cost(card.model))}")
    text = [row for row in card.rows if row.metric == BITS_PER_BYTE]
    other = [row for row in card.rows if row.metric != BITS_PER_BYTE]
    for title, rows in (("bits per byte of held-out text, lower is better", text), ("other scores", other)):
        if rows:
            print_rows(title, rows_beside(rows))
    if card.not_possible:
        print_rows("not possible here", not_possible_rows(card))
    for note in card.notes:
        console.print(f"[dim]{escape(note)}[/]")
    now = store.find_current("model")
    if now is not None and now.fingerprint != model:
        console.print(f"[yellow]the current model {now.fingerprint[:8]} has not been scored yet[/]")


def _cost(run: Any) -> str:
    """What the run took, in a line."""
    if not run:
        return "what its training took is not known"
    parts = [f"{short(run['parameters']['total'])} parameters", f"{short(run['tokens'])} tokens"]
    parts += [f"{minutes_or_hours(run['seconds'])} on {run['world_size']} × {run['device']}"]
    parts += [f"cost {figure(run['cost'])}" if run.get("cost") is not None else "no price an hour given"]
    return ", ".join(parts)


def _as_json(artifact: Artifact, card: Scorecard, profile: str) -> dict[str, Any]:
    built = artifact.manifest.built
    return {
        "profile": profile,
        "model": artifact.manifest.inputs["model"].fingerprint,
        "scorecard": artifact.fingerprint,
        "built_at": built.at,
        "git_commit": built.git_commit,
        "run": card.model,
        "scores": [dataclasses.asdict(row) for row in card.rows],
        "not_possible": card.not_possible,
        "notes": card.notes,
    }
