"""Commands `squeeze race ...`: run a race, enter it on the board, and check the board (docs/race.md)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.markup import escape

from pipeline.base.errors import StudyError
from pipeline.cli.output import written_to
from pipeline.cli.terminal import console, print_rows

if TYPE_CHECKING:
    from pipeline.profile.profile import Profile
    from pipeline.store import Store
    from pipeline.study.plan import StudyPlan
    from pipeline.study.race.board import Row
    from pipeline.study.race.record import Record

RULES: Final = "race"
SHOWN: Final = ("entry", "bits_per_byte", "spread", "parameters", "tokens", "text_bytes", "cpu_seconds", "cpu_share")

app = typer.Typer(no_args_is_help=True, help="The laptop race: run one, enter it on the board, check the board.")

EntryArgument = Annotated[Path, typer.Argument(metavar="PROFILE", help="The entry's profile, a YAML file.")]
BoardOption = Annotated[Path, typer.Option(help="Folder of the board.")]
PageOption = Annotated[Path, typer.Option(help="Page that has the board between its marks.")]
RulesOption = Annotated[str, typer.Option("--rules", help="Name or path of the profile that entries extend.")]


@app.command()
def run(profile: EntryArgument, rules: RulesOption = RULES) -> None:
    """Race an entry against the standard recipe, seed by seed and side by side, and show what both reached.

    An entry that breaks a rule is refused before anything runs. Heats that are finished are reused.
    """
    from pipeline.store.home import PROFILE_VARIABLE
    from pipeline.study.race.board import row_of
    from pipeline.study.race.heat import STANDARD
    from pipeline.study.race.record import record_of

    entry, plan = _load(profile)
    _refuse(entry, list(_broken_rules(entry, plan, rules)))
    words = [sys.executable, "-m", "dagster", "job", "execute", "-m", "pipeline.definitions", "-j", "race"]
    if subprocess.run(words, env=os.environ | {PROFILE_VARIABLE: str(profile)}, check=False).returncode:
        raise StudyError(f"{profile}: the race was not run to its end; what is wrong is said above")
    record = record_of(plan, _store(entry), entry.name)
    rows = [row_of(plan, record), row_of(plan, record, STANDARD)]
    _show(rows)
    console.print(escape(rows[0].standing), soft_wrap=True)


@app.command()
def enter(
    profile: EntryArgument,
    machine: Annotated[str, typer.Option(help="What it was raced on, such as the processor's name.")] = "",
    board: BoardOption = Path("docs/race"),
    page: PageOption = Path("docs/race.md"),
    rules: RulesOption = RULES,
) -> None:
    """Put a race that was run on the board: its profile, the record of its heats, and its line."""
    from pipeline.study.race.folder import profile_file, record_file
    from pipeline.study.race.record import record_of, write_record

    entry, plan = _load(profile)
    record = record_of(plan, _store(entry), entry.name, machine)
    _refuse(entry, list(_mistakes(entry, plan, record, rules)))
    kept = profile_file(board, entry.name)
    with written_to("--board", board):
        kept.parent.mkdir(parents=True, exist_ok=True)
        if profile.resolve() != kept.resolve():
            shutil.copyfile(profile, kept)
        write_record(record, record_file(board, entry.name))
    rows = _rewrite(board, page, rules)
    _show([row for row in rows if row.entry == entry.name])


@app.command()
def check(
    board: BoardOption = Path("docs/race"), page: PageOption = Path("docs/race.md"), rules: RulesOption = RULES
) -> None:
    """Hold every entry of the board against the rules, its record against its profile, and the board against both.

    Ends with status 1 where anything is wrong. Heats that this machine's store has are compared with it too.
    """
    from pipeline.study.race.check import mistakes_against_store

    wrong, here, heats = [], 0, 0
    for entry, plan, record in _entries(board):
        there, different = mistakes_against_store(plan, record, _store(entry)) if _has_store() else (0, [])
        wrong += [f"{entry.name}: {said}" for said in (*_mistakes(entry, plan, record, rules), *different)]
        here, heats = here + there, heats + len(record.heats)
    wrong += _board_mistakes(board, page, rules) if not wrong else []
    if wrong:
        raise StudyError("the board does not hold:\n  " + "\n  ".join(wrong))
    console.print(
        f"{escape(str(board))}: {heats} heats follow from their profiles, {here} of them compared with this store; "
        "what was measured elsewhere only another race can check",
        soft_wrap=True,
    )


def _load(file: Path) -> tuple[Profile, StudyPlan]:
    from pipeline.profile.profile import load_profile

    profile = load_profile(str(file))
    plan = profile.study_plan
    if plan is None:
        raise StudyError(f"{file}: has no study; an entry says `extends: race`")
    return profile, plan


def _has_store() -> bool:
    from pipeline.store.home import squeeze_home

    return squeeze_home().is_dir()


def _store(profile: Profile) -> Store:
    from pipeline.store import Store
    from pipeline.store.home import squeeze_home

    return Store(squeeze_home(), profile.name).open()


def _refuse(entry: Profile, wrong: list[str]) -> None:
    if wrong:
        raise StudyError(f"{entry.name} is no entry of the race:\n  " + "\n  ".join(wrong))


def _broken_rules(entry: Profile, plan: StudyPlan, rules: str) -> Iterator[str]:
    from pipeline.base.settings import identity_of
    from pipeline.profile.profile import load_profile
    from pipeline.study.race.check import changed_rules, forbidden

    race = load_profile(rules)
    if race.study_plan is None:
        raise StudyError(f"--rules {rules}: has no study")
    for section in ("corpora", "curation"):
        ours, theirs = identity_of(getattr(entry, section)), identity_of(getattr(race, section))
        if ours != theirs or list(entry.corpora) != list(race.corpora):
            yield f"{section}: is the race's; leave it as `extends: {rules}` has it"
    changed = list(changed_rules(plan, race.study_plan))
    yield from changed
    if plan.settings.race is not None and plan.settings.race.track is not None:
        yield from forbidden(plan)


def _mistakes(entry: Profile, plan: StudyPlan, record: Record, rules: str) -> Iterator[str]:
    from pipeline.study.race.check import mistakes_in_record

    broken = list(_broken_rules(entry, plan, rules))
    yield from broken
    if not broken:
        if record.entry != entry.name:
            yield f"the record is of {record.entry!r}"
        yield from mistakes_in_record(plan, record)


def _entries(board: Path) -> Iterator[tuple[Profile, StudyPlan, Record]]:
    from pipeline.study.race.folder import entries_in, profile_file, record_file
    from pipeline.study.race.record import read_entry_record

    for name in entries_in(board):
        entry, plan = _load(profile_file(board, name))
        yield entry, plan, read_entry_record(record_file(board, name))


def _board_rows(board: Path) -> list[Row]:
    from pipeline.study.race.board import board_of

    return board_of((plan, record) for _, plan, record in _entries(board))


def _rewrite(board: Path, page: Path, rules: str) -> list[Row]:
    from pipeline.study.race.board import BOARD_FILE, COLUMNS, csv_rows
    from pipeline.study.results.runs_table import write_csv

    rows = _board_rows(board)
    with written_to("--board", board):
        write_csv(board / BOARD_FILE, COLUMNS, csv_rows(rows))
    with written_to("--page", page):
        _write_board(page, rows, rules)
    return rows


def _write_board(page: Path, rows: list[Row], rules: str) -> None:
    from pipeline.profile.profile import load_profile
    from pipeline.study.race.board import BEGIN, END, markdown
    from pipeline.study.report.page import write_between

    study = load_profile(rules).study
    if study is None or study.race is None:
        raise StudyError(f"--rules {rules}: has no study.race")
    write_between(page, BEGIN, END, markdown(rows, study.race))


def _board_mistakes(board: Path, page: Path, rules: str) -> list[str]:
    """Where `board.csv` or the page is not what the records make."""
    import tempfile

    from pipeline.study.race.board import BOARD_FILE, COLUMNS, csv_rows
    from pipeline.study.results.runs_table import write_csv

    rows, wrong = _board_rows(board), []
    with tempfile.TemporaryDirectory() as folder:
        made, again = Path(folder) / BOARD_FILE, Path(folder) / page.name
        write_csv(made, COLUMNS, csv_rows(rows))
        shutil.copyfile(page, again)
        _write_board(again, rows, rules)
        for kept, other in ((board / BOARD_FILE, made), (page, again)):
            if not kept.is_file() or kept.read_bytes() != other.read_bytes():
                wrong.append(f"{kept}: is not what the records make; `squeeze race enter` writes it")
    return wrong


def _show(rows: list[Row]) -> None:
    shown: list[dict[str, Any]] = [{name: getattr(row, name) for name in SHOWN} for row in rows]
    if any(row.file_bytes is not None for row in rows):
        shown = [line | {"file_bytes": row.file_bytes} for line, row in zip(shown, rows, strict=True)]
    print_rows(f"track {rows[0].track}", shown)
