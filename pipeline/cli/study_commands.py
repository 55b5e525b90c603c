"""Commands `squeeze study ...`: a study's results as files and pages, and the speed of its arms."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from pipeline.base.errors import StudyError
from pipeline.cli.output import written_to
from pipeline.cli.terminal import console, follow_log

if TYPE_CHECKING:
    from pipeline.profile.profile import Profile
    from pipeline.study.plan import StudyPlan
    from pipeline.study.results.runs_table import Run

app = typer.Typer(no_args_is_help=True, help="A study's results as files, and the speed of its arms.")

StudyProfile = Annotated[str, typer.Option("--profile", "-p", help="Name or path of a profile with a study.")]
OutOption = Annotated[Path, typer.Option(help="Folder of the CSV files.")]
PageOption = Annotated[Path | None, typer.Option(help="Page that takes the tables, between its marks.")]


@app.command()
def export(out: OutOption = Path("docs/results"), page: PageOption = None, profile: StudyProfile = "study") -> None:
    """What the store's finished runs say, as CSV files, pictures and tables; with the arms' speeds where measured."""
    from pipeline.store import Store
    from pipeline.store.home import squeeze_home
    from pipeline.study.results.runs_table import SPEED_FILE, collect
    from pipeline.study.runs.arm import finished_arms

    settings, plan = _load(profile)
    store = Store(squeeze_home(), settings.name, origin=settings.origin).open()
    runs = collect(plan.settings.design(), finished_arms(plan, store))
    if not runs:
        raise StudyError(f"no run has finished in {store.root}: run `dagster job execute -j ablations` first")
    speed_file = squeeze_home() / SPEED_FILE
    with written_to("--out", out):
        out.mkdir(parents=True, exist_ok=True)
        if speed_file.exists():
            shutil.copyfile(speed_file, out / SPEED_FILE)
    _write(runs, plan, out, page)


@app.command()
def draw(out: OutOption = Path("docs/results"), page: PageOption = None, profile: StudyProfile = "study") -> None:
    """The same pictures and tables from the folder's CSV files alone."""
    from pipeline.study.results.runs_table import read_runs

    _, plan = _load(profile)
    _write(read_runs(out), plan, out, page)


@app.command()
def sizes(
    out: OutOption = Path("docs/results"),
    bits: Annotated[list[int] | None, typer.Option(help="Bits a weight; default 32, 16, 8, 6 and 4.")] = None,
    arm: Annotated[list[str] | None, typer.Option(help="Measure this arm alone; rows of others stay.")] = None,
    profile: StudyProfile = "study",
) -> None:
    """Bits per byte against bytes on disk, tokenizer included, of the runs that kept their weights: CSV and picture.

    Every run is written in so many bits a weight, read back and scored.
    """
    from pipeline.base.files import whole_file
    from pipeline.store import Store
    from pipeline.store.home import squeeze_home
    from pipeline.study.results.runs_table import read_csv, write_csv
    from pipeline.study.sizes import BITS, COLUMNS, PICTURE_FILE, SIZES_FILE, beside, measure_sizes, sizes_png

    settings, plan = _load(profile)
    store = Store(squeeze_home(), settings.name, origin=settings.origin).open()
    with follow_log():
        rows = measure_sizes(plan, store, bits or BITS, arm or ())
    if arm and (out / SIZES_FILE).is_file():
        rows = beside(rows, read_csv(out / SIZES_FILE))
    with written_to("--out", out):
        out.mkdir(parents=True, exist_ok=True)
        write_csv(out / SIZES_FILE, COLUMNS, rows)
        with whole_file(out / PICTURE_FILE) as file:
            file.write(sizes_png(rows))
    console.print(f"{escape(str(out / SIZES_FILE))}: {len(rows)} files of {len({row['arm'] for row in rows})} arms")


@app.command()
def score(out: OutOption = Path("docs/results"), profile: StudyProfile = "study") -> None:
    """Score the runs that kept their weights by the profile's suites, as CSV; what was scored before is not again."""
    from pipeline.store import Store
    from pipeline.store.home import squeeze_home
    from pipeline.study.results.runs_table import write_csv
    from pipeline.study.scored import COLUMNS, SCORES_FILE, score_runs

    settings, plan = _load(profile)
    store = Store(squeeze_home(), settings.name, origin=settings.origin).open()
    with follow_log():
        rows = score_runs(plan, store, settings.evaluation)
    with written_to("--out", out):
        out.mkdir(parents=True, exist_ok=True)
        write_csv(out / SCORES_FILE, COLUMNS, rows)
    runs = {(row["arm"], row["seed"]) for row in rows}
    console.print(f"{escape(str(out / SCORES_FILE))}: {len(rows):,} scores of {len(runs)} runs")


@app.command()
def signal(
    out: OutOption = Path("docs/results"),
    page: PageOption = None,
    table: Annotated[
        Path | None, typer.Option(help="Table by which scorecards say what a score can tell; gets the study's rows.")
    ] = None,
    profile: StudyProfile = "study",
) -> None:
    """What each metric can tell about models of this size: its noise over seeds, its signal over recipes, the verdicts
    it reproduces. From the folder's CSV files: what `export` wrote, and `score` where runs kept their weights."""
    from pipeline.study.report.page import write_between
    from pipeline.study.report.signal_table import COLUMNS, SIGNAL_FILE, marks, rows_of, signal_markdown, write_known
    from pipeline.study.results.results import Results
    from pipeline.study.results.runs_table import read_csv, read_runs, write_csv
    from pipeline.study.results.signal import measures, signals
    from pipeline.study.scored import SCORES_FILE

    settings, plan = _load(profile)
    results = Results(plan.settings.design(), read_runs(out))
    scores = read_csv(out / SCORES_FILE) if (out / SCORES_FILE).exists() else []
    found = signals(results, measures(results, scores), plan.settings.ladders)
    with written_to("--out", out):
        write_csv(out / SIGNAL_FILE, COLUMNS, rows_of(found))
    if page is not None:
        with written_to("--page", page):
            write_between(page, *marks(settings.name), signal_markdown(found))
    if table is not None:
        with written_to("--table", table):
            write_known(table, settings.name, found)
    console.print(f"{escape(str(out / SIGNAL_FILE))}: {len(found)} metrics, {sum(item.kept for item in found)} kept")


@app.command()
def speed(
    profile: StudyProfile = "study",
    steps: Annotated[int, typer.Option(min=1, help="Steps of a turn.")] = 3,
    rounds: Annotated[int, typer.Option(min=1, help="Turns of every arm.")] = 8,
) -> None:
    """Time every arm's training steps on this machine, in turns; run it when nothing else runs.

    The speeds are kept beside the artifacts, for the report and for `export`.
    """
    from pipeline.store.home import squeeze_home
    from pipeline.study.results.runs_table import SPEED_FILE
    from pipeline.study.speed import measure

    _, plan = _load(profile)
    measure(plan, steps, rounds, squeeze_home() / SPEED_FILE)


def _load(name: str) -> tuple[Profile, StudyPlan]:
    from pipeline.profile.profile import load_profile

    profile = load_profile(name)
    plan = profile.study_plan
    if plan is None:
        raise StudyError(f"the profile {profile.name} has no study; add the section, or name one with --profile")
    return profile, plan


def _write(runs: Sequence[Run], plan: StudyPlan, out: Path, page: Path | None) -> None:
    from pipeline.study.report.page import write_page
    from pipeline.study.report.report import build_report
    from pipeline.study.results.results import Results
    from pipeline.study.results.runs_table import SPEED_FILE, read_speed

    results = Results(plan.settings.design(), runs, read_speed(out / SPEED_FILE))
    with written_to("--out", out):
        summary = build_report(results, plan.settings, out)
    if page is not None:
        with written_to("--page", page):
            write_page(page, summary.markdown)
    console.print(f"{escape(str(out))}: {summary.runs} runs of {summary.finished} of {summary.arms} arms")
