"""Every command on the documentation's pages: where it stands, and how it is checked.

A command is a line of a fenced `sh` or `console` block, or of an indented block, that starts with a known program. Each
must match a rule below; one that matches none fails the test, so that nothing is documented that nothing checks.
"""

import json
import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAGES += [ROOT / "tokenizers" / "README.md", *sorted((ROOT / ".github").rglob("*.md"))]
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
NAMES = "export|dagster|squeeze|dg|python3?|pytest|pip|ruff|mypy|torchrun|lm_eval|mkdocs|docker|bash|git|apt-get|ray"
PROGRAMS = rf"(?:[A-Z_]+=\S+ )*(?:{NAMES})\b"
COMMAND = re.compile(rf"^(?:\$ )?({PROGRAMS}.*)$")


class Command(NamedTuple):
    """One line somebody may type; in a notebook, of the cell of that number."""

    page: str
    line: int
    text: str


def commands():
    """Every command of every page, without comments, continued lines joined, `a && b` taken apart; of a notebook, those
    that a cell hands to the shell."""
    for page in PAGES:
        fence, waiting = None, ""
        for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
            if line.lstrip().startswith("```"):
                fence = line.strip().removeprefix("```") or "text" if fence is None else None
                continue
            if fence in ("sh", "console") or (fence is None and line.startswith("    ")):
                text = waiting + re.sub(r"\s+#.*$", "", line.strip())
                waiting = text.removesuffix("\\") if text.endswith("\\") else ""
                if waiting:
                    continue
                if fence is not None and text and not text.startswith("#"):
                    assert COMMAND.match(text), f"{page.name}, line {number}: an unknown program: {text}"
                for part in text.split(" && "):
                    if match := COMMAND.match(part.strip()):
                        yield Command(str(page.relative_to(ROOT)), number, match[1].strip())
    for path in NOTEBOOKS:
        for number, cell in enumerate(json.loads(path.read_text(encoding="utf-8"))["cells"], start=1):
            for line in cell["source"] if cell["cell_type"] == "code" else []:
                if line.startswith("!"):
                    yield Command(str(path.relative_to(ROOT)), number, line[1:].strip())


def profiles():
    """(page, line, text) of every fenced YAML block that is a whole profile."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for match in re.finditer(r"```yaml\n(.*?)```", text, re.DOTALL):
            if re.search(r"^extends: ", match[1], re.MULTILINE):
                yield str(page.relative_to(ROOT)), text[: match.start()].count("\n") + 2, match[1]


RULES = [
    # (pattern, how it is checked); the first that matches counts
    (r"squeeze (push|pull|ls --remote|gc --remote)\b", "options"),  # test_shared_bucket.py runs them with a bucket
    (r"squeeze gc --(epochs|forget)\b", "options"),  # test_full_train.py runs them where nobody else looks
    (r"squeeze export --push-to-hub\b", "options"),  # tests/pipeline/cli/test_publishing.py pushes to a local server
    (
        r"squeeze (export --(bits|format)|score)\b",
        "options",
    ),  # tests/pipeline/cli/test_one_file_commands.py writes a file
    (r"squeeze (chat|serve)\b", "options"),  # tests/pipeline/cli/test_writing.py, test_server.py
    (r"squeeze inspect\b", "options"),  # tests/pipeline/cli/test_inspect_command.py looks at files
    (r"squeeze race \w+", "options"),  # tests/pipeline/study/test_race_heats.py runs one, test_race_commands.py checks
    (r"squeeze study \w+", "options"),  # tests/pipeline/cli/test_study_commands.py draws
    (r"squeeze (check|pin|fetch)\b", "options"),  # tests/pipeline/cli/test_hub_commands.py asks the imitated hub
    (r"export \w+=", "elsewhere"),  # tests/end_to_end/test_fetch_ahead.py builds with it
    (r"squeeze \w+", "run"),
    (r"dagster asset materialize --select", "run slowly"),
    (r"dagster job execute -j (?!full_train)", "run slowly"),
    (r"(\w+=\S+ )*dagster (job execute|asset materialize)\b", "job"),  # test_full_train.py runs full_train
    (r"(\w+=\S+ )*dagster dev$", "elsewhere"),  # tests/browser
    (r"dg launch --job \w+$", "elsewhere"),  # needs the extra `dg`
    (r"python -m pipeline\.cli\.reference( --check)?$", "module"),
    (r"(\w+=\S+ )*docker (build|run|compose)\b", "elsewhere"),  # tests/test_containers.py holds what they name
    (r"mkdocs build --strict -f packaging/site/mkdocs\.yml$", "elsewhere"),  # .ci/run, tests/test_site.py
    # tests/cluster/test_team.py
    (r"dagster (code-server start|job launch|instance concurrency)\b|dagster-(daemon|webserver)\b", "elsewhere"),
    (r"ray start\b", "elsewhere"),  # tests/cluster/ray_nodes.py
    (r"pip install", "install"),
    (r"(python3 -m venv|git clone|apt-get install|bash (\.ci/run|packaging/\w+\.sh))", "elsewhere"),
    (r"(\w+=\S+ )*(pytest|ruff|mypy)\b", "tools"),
    (r"(torchrun|python)\b.* -m trainer (train|plan)\b", "trainer"),
    (r"(\w+=\S+ )*(torchrun|python3?)\b.* -m (benchmarks|pipeline|tests)(\.\w+)+", "module"),
    (r"(\w+=\S+ )*(torchrun|python3?)\b.* benchmarks/\w+\.py", "script"),
    (r"(lm_eval|python -c)\b", "elsewhere"),  # tests/pipeline/evaluation
]


def rule_of(command):
    """How a command is checked, or None."""
    return next((how for pattern, how in RULES if re.match(pattern, command)), None)


def ruled(how):
    """The different commands that are checked that way."""
    return list(dict.fromkeys(item.text for item in commands() if rule_of(item.text) == how))
