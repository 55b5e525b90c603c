"""`python -m pipeline.cli.study export|draw|speed`: the study's results as files, and the speed of its arms.

`speed` times training steps of every arm on this machine, in turns, and keeps `speed.csv` beside the artifacts; run it
when nothing else runs. `export` writes what the store's finished runs say to a folder (`docs/results`), with those
speeds, and its tables into a page (`docs/results.md`). `draw` does the same from the folder's CSV files alone.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline.base.errors import SqueezeError, StudyError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    from trainer.errors import TrainerError

    parser = argparse.ArgumentParser(prog="python -m pipeline.cli.study", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (("export", "from the store to files"), ("draw", "from the CSV files to pictures and tables")):
        command = commands.add_parser(name, help=text)
        command.add_argument("--out", type=Path, default=Path("docs/results"), help="folder of the CSV files")
        command.add_argument("--page", type=Path, help="page that takes the tables, between its marks")
        command.add_argument("--profile", default="study")
    command = commands.add_parser("speed", help="time every arm's training steps, in turns")
    command.add_argument("--profile", default="study")
    command.add_argument("--steps", type=int, default=3, help="steps of a turn")
    command.add_argument("--rounds", type=int, default=8, help="turns of every arm")
    options = parser.parse_args(arguments)
    try:
        _run(options)
    except (SqueezeError, TrainerError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _run(options: argparse.Namespace) -> None:
    from pipeline.profile.profile import load_profile
    from pipeline.store import Store
    from pipeline.store.home import squeeze_home
    from pipeline.study.report.page import build_report, write_page
    from pipeline.study.results.runs_table import SPEED_FILE, collect, read_runs, read_speed
    from pipeline.study.runs.arm import finished_arms
    from pipeline.study.speed import measure, speed_file

    profile = load_profile(options.profile)
    study = profile.study
    if study is None:
        raise StudyError(f"the profile {profile.name} has no study; add the section, or name one with --profile")
    if options.command == "speed":
        measure(profile, options.steps, options.rounds, speed_file())
        return
    if options.command == "export":
        store = Store(squeeze_home(), profile.name).open()
        runs = collect(study, finished_arms(profile, study, store))
        if not runs:
            raise StudyError(f"no run has finished in {store.root}: run `dagster job execute -j ablations` first")
        options.out.mkdir(parents=True, exist_ok=True)
        if speed_file().exists():
            shutil.copyfile(speed_file(), options.out / SPEED_FILE)
    else:
        runs = read_runs(options.out)
    summary = build_report(runs, read_speed(options.out / SPEED_FILE), study, options.out)
    if options.page:
        write_page(options.page, summary.markdown)
    print(f"{options.out}: {summary.runs} runs of {summary.finished} of {summary.arms} arms")


if __name__ == "__main__":
    sys.exit(main())
