"""`squeeze`: look into the store, and use what is in it.

Every command reads the profile's name from `--profile` or SQUEEZE_PROFILE and the store's root from SQUEEZE_HOME.
Errors the user can put right are printed without a traceback and end with status 1.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.tree import Tree

from pipeline.base.errors import SqueezeError
from pipeline.store import Artifact, Store

if TYPE_CHECKING:
    from pipeline.reporting.facts import Facts

MODEL_KEY: Final = "model"
PIPED_WIDTH: Final = 160  # columns of a table that goes to a file or a pipe
UNITS: Final = ("B", "kB", "MB", "GB", "TB")

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
console = Console(width=None if sys.stdout.isatty() else PIPED_WIDTH)

ProfileOption = Annotated[str | None, typer.Option("--profile", "-p", help="Name or path; default SQUEEZE_PROFILE.")]


def main() -> None:
    """The console script."""
    from trainer.errors import TrainerError

    try:
        app()
    except (SqueezeError, TrainerError) as error:
        Console(stderr=True).print(f"[bold red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(1)


@app.command("ls")
def list_artifacts(
    profile: ProfileOption = None,
    everything: Annotated[bool, typer.Option("--all", help="Also what no profile uses at present.")] = False,
) -> None:
    """Artifacts with their size, age, and the profiles they are current for."""
    store = _store(profile)
    used: dict[str, list[str]] = {}
    for name, _, artifact in store.pointers():
        if artifact is not None:
            used.setdefault(artifact.fingerprint, []).append(name)
    table = Table("artifact", "fingerprint", "size", "age", "current for", "built because", box=None, pad_edge=False)
    for column in (2, 3):
        table.columns[column].justify = "right"
    total = 0
    for artifact in store.artifacts():
        profiles = used.get(artifact.fingerprint, [])
        mine = store.profile in profiles
        if not (mine or everything):
            continue
        total += artifact.manifest.size
        built = artifact.manifest.built
        row = (artifact.key, artifact.fingerprint[:8], size_text(artifact.manifest.size), age_text(built.at))
        table.add_row(*row, ", ".join(profiles) or "-", escape(built.reason), style=None if mine else "dim")
    console.print(table)
    console.print(f"{table.row_count} artifacts, {size_text(total)}, in {store.root}")


@app.command()
def lineage(
    asset: Annotated[str, typer.Argument(help="Asset key, such as scorecard or shards/epoch_001.")] = MODEL_KEY,
    profile: ProfileOption = None,
) -> None:
    """The ancestry of an artifact as a tree with fingerprints."""
    store = _store(profile)
    seen: set[str] = set()

    def grow(tree: Tree, artifact: Artifact) -> None:
        again = artifact.fingerprint in seen
        seen.add(artifact.fingerprint)
        branch = tree.add(f"{artifact.key} [cyan]{artifact.fingerprint[:8]}[/]" + (" [dim](above)[/]" if again else ""))
        if again:
            return
        for label, parent in sorted(artifact.manifest.inputs.items()):
            found = store.get(parent.key, parent.fingerprint)
            if found is None:
                branch.add(f"{label} [cyan]{parent.fingerprint[:8]}[/] [dim](removed)[/]")
            else:
                grow(branch, found)

    root = Tree(f"[bold]{escape(store.profile)}[/]")
    grow(root, store.current(asset))
    console.print(root)


@app.command()
def verify(profile: ProfileOption = None) -> None:
    """Hash everything on disk against the manifests; status 1 when something is damaged."""
    from pipeline.store.maintenance import verify as faults_of

    store = _store(profile)
    artifacts = list(store.artifacts())
    faults = []
    for artifact in artifacts:
        found = list(faults_of(artifact))
        faults += found
        mark = "[red]damaged[/]" if found else "[green]ok[/]"
        console.print(f"{mark} {artifact.key} [cyan]{artifact.fingerprint[:8]}[/] {size_text(artifact.manifest.size)}")
    for fault in faults:
        console.print(f"[red]{escape(fault)}[/]", highlight=False, soft_wrap=True)
    if faults:
        console.print("remove a damaged folder and run the job again: it builds just that one anew")
        raise typer.Exit(1)
    console.print(f"{len(artifacts)} artifacts are whole")


@app.command()
def plan(
    profile: ProfileOption = None,
    size: Annotated[
        list[str] | None, typer.Option(help="CORPUS=SIZE of text not fetched yet, such as books=2GB.")
    ] = None,
    devices: Annotated[int | None, typer.Option(help="GPUs of a kind; by default the profile's ranks.")] = None,
    mfu: Annotated[float, typer.Option(help="Share of a GPU's peak to count on.")] = 0.4,
) -> None:
    """What a profile will take before anything is built: the schedule epoch by epoch; training's hours and cost."""
    from pipeline.cli.planning import parse_sizes, training_figures
    from pipeline.cli.planning import plan as plan_schedule
    from pipeline.profile.profile import load_profile
    from pipeline.store.home import squeeze_home
    from trainer.plan import plan_table

    settings = load_profile(profile)
    rows, notes = plan_schedule(settings, Store(squeeze_home(), settings.name), parse_sizes(size or []))
    _print_rows(f"schedule of {settings.name}", [{name: _planned(name, row[name]) for name in row} for row in rows])
    for note in notes:
        console.print(f"[dim]{note}[/]")
    figures = training_figures(settings, rows, devices=devices or settings.launch.ranks, mfu=mfu)
    console.print(f"\n[bold]training[/]\n{escape(plan_table(figures))}", highlight=False)
    if settings.training.max_minutes:
        console.print(f"ended after {settings.training.max_minutes:g} minutes of training (training.max_minutes)")


def _planned(name: str, value: object) -> str | None:
    if value is None:
        return None
    if name == "disk_bytes" and isinstance(value, int):
        return size_text(value)
    if name == "share" and isinstance(value, float):
        return f"{value:.1%}"
    return f"{value:,.2f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


@app.command()
def gc(
    profile: ProfileOption = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    epochs: Annotated[
        bool, typer.Option("--epochs", help="Also the epochs' shards: rebuilt byte for byte when they are needed.")
    ] = False,
    unfinished: Annotated[
        bool, typer.Option("--unfinished", help="Also builds that were stopped and would go on, checkpoints included.")
    ] = False,
    forget_profile: Annotated[
        str | None, typer.Option("--forget", help="A profile whose artifacts are no longer wanted.")
    ] = None,
) -> None:
    """Remove what no profile's current artifacts need; asks first."""
    from pipeline.store.maintenance import forget, garbage

    store = _store(profile)
    if forget_profile and (yes or typer.confirm(f"Forget which artifacts are current for {forget_profile}?")):
        console.print(f"{forget(store, forget_profile)} pointers of {forget_profile} removed")
    found = garbage(store, epochs=epochs, unfinished=unfinished)
    if not found:
        console.print("nothing to remove: everything in the store is needed")
        return
    for item in found:
        console.print(f"{size_text(item.bytes):>9}  {escape(str(item.path))}  [dim]{item.why}[/]", soft_wrap=True)
    total = size_text(sum(item.bytes for item in found))
    if not (yes or typer.confirm(f"Remove these {len(found)} folders, {total}?")):
        raise typer.Exit(1)
    kept = [item for item in found if not store.backend.remove(item)]
    for item in kept:
        console.print(f"kept, a build is using it: {escape(str(item.path))}", soft_wrap=True)
    console.print(f"removed {len(found) - len(kept)} folders")


@app.command()
def report(
    out: Annotated[Path, typer.Option(help="File to write.")] = Path("report.html"),
    profile: ProfileOption = None,
) -> None:
    """Write the HTML page about the latest model, with whatever of it has been evaluated."""
    from pipeline.reporting.facts import facts_of
    from pipeline.reporting.html import report_html

    store = _store(profile)
    out.write_text(report_html(facts_of(store, store.current(MODEL_KEY))), encoding="utf-8")
    console.print(f"{out} ({size_text(out.stat().st_size)})")


@app.command()
def compare(
    a: Annotated[str, typer.Argument(help="A profile, or the beginning of a model's fingerprint.")],
    b: Annotated[str, typer.Argument(help="Another.")],
) -> None:
    """Two models side by side: what differs in settings and inputs, scores with a verdict, cost."""
    from pipeline.reporting import compare as side_by_side

    store = _store(None)
    facts = (_facts_of(store, a), _facts_of(store, b))
    for title, rows in (
        ("settings that differ", side_by_side.differing_settings(*facts)),
        ("inputs that differ", side_by_side.differing_inputs(*facts)),
        ("scores", side_by_side.compared_scores(*facts)),
        ("cost", side_by_side.compared_costs(*facts)),
    ):
        _print_rows(title, rows)


@app.command()
def generate(
    prompt: Annotated[str, typer.Argument(help="Text to go on from.")],
    profile: ProfileOption = None,
    tokens: Annotated[int, typer.Option(help="Most tokens to add.")] = 120,
    temperature: Annotated[float, typer.Option(help="0 takes the likeliest token every time.")] = 0.8,
    top_p: Annotated[float, typer.Option(help="Draw from the likeliest tokens that hold this share.")] = 0.95,
    seed: int = 1,
) -> None:
    """Continue a text with the latest model."""
    from pipeline.tokenization import load_tokenizer
    from trainer.generate import generate as generate_ids
    from trainer.run.checkpoint import load_model

    store = _store(profile)
    made = store.current(MODEL_KEY)
    model = load_model(made.path)
    own = made.manifest.inputs["tokenizer"]  # another one may have been chosen since
    tokenizer = load_tokenizer((store.get(own.key, own.fingerprint) or store.current("tokenizer")).path)
    ids = [tokenizer.eot_id, *tokenizer.encode(prompt)]  # every document the model has seen began so
    continued = generate_ids(
        model, ids, max_new_tokens=tokens, temperature=temperature, top_p=top_p, seed=seed, eot_id=tokenizer.eot_id
    )
    added = list(continued)
    console.print(f"[bold]{escape(prompt)}[/]{escape(tokenizer.decode(added))}", highlight=False, soft_wrap=True)


@app.command()
def export(
    out: Annotated[Path | None, typer.Option(help="Folder to copy the model to; it must not exist.")] = None,
    push_to_hub: Annotated[
        str | None, typer.Option(metavar="ORG/NAME", help="Repository of the Hugging Face hub to upload it to.")
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private.")] = False,
    profile: ProfileOption = None,
) -> None:
    """Copy the latest model, as a stock transformers class with its tokenizer and card, or push it to the hub.

    The card has the scores that the model has by now.
    """
    from pipeline.cli.publishing import copy_model, push_model
    from pipeline.reporting.card import card_of

    if out is None and push_to_hub is None:
        raise SqueezeError("say where to: --out FOLDER, --push-to-hub ORG/NAME, or both")
    store = _store(profile)
    artifact = store.current("model_hf")
    card = card_of(store, artifact)
    if out is not None:
        copy_model(artifact, out, card)
        console.print(f"{out}: {artifact.summary['architecture']}, {size_text(artifact.manifest.size)}")
    if push_to_hub is not None:
        console.print(push_model(artifact, push_to_hub, card, private=private))


def _facts_of(store: Store, name: str) -> Facts:
    """Facts about the model that a profile's name or the beginning of a fingerprint stands for."""
    from pipeline.reporting.facts import facts_of

    models = {item.fingerprint: item for item in store.artifacts(MODEL_KEY)}
    current = {profile: item for profile, key, item in store.pointers() if key == MODEL_KEY and item is not None}
    found = [current[name]] if name in current else [item for print_, item in models.items() if print_.startswith(name)]
    if len(found) != 1:
        known = ", ".join([*current, *(print_[:8] for print_ in models)])
        raise SqueezeError(f"{name!r} stands for {len(found)} models of the store; there are {known or 'none'}")
    return facts_of(store, found[0], name)


def _print_rows(title: str, rows: Sequence[Mapping[str, object]]) -> None:
    console.print(f"[bold]{title}[/]" if rows else f"[bold]{title}[/]: none")
    if rows:
        table = Table(*rows[0], box=None, pad_edge=False)
        for row in rows:
            table.add_row(*(escape("-" if value is None else str(value)) for value in row.values()))
        console.print(table)


def _store(profile: str | None) -> Store:
    """The store as this profile sees it. Only the profile's name matters here, so its file is not validated."""
    from pipeline.profile.profile import profile_name
    from pipeline.store.home import squeeze_home

    root = squeeze_home()
    if not root.is_dir():
        raise SqueezeError(f"there is no store at {root}: run `dagster job execute -j full_train`, or set SQUEEZE_HOME")
    return Store(root, profile_name(profile)).open()


def size_text(count: float) -> str:
    """Bytes for people: 12.3 MB."""
    for unit in UNITS[:-1]:
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} {UNITS[-1]}"


def age_text(at: str) -> str:
    """Time since an ISO 8601 moment, in its largest unit."""
    seconds = (datetime.now(UTC) - datetime.fromisoformat(at)).total_seconds()
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"
