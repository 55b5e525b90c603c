"""Makes the literal command `dagster job execute -j full_train` find this project without `-m`.

`dagster job` and `dagster asset` read neither workspace.yaml nor pyproject.toml; all they take is an option such as
`-m`, or the environment variable DAGSTER_MODULE_NAME. `squeeze_default_location.pth`, installed beside this file,
imports it when Python starts as `dagster`; it sets that variable, and does so only when the command is one of the two,
names no location itself, and runs in a folder that holds `pipeline/definitions.py`. Uninstalling the package removes
both files.
"""

import os
import sys

MODULE = "pipeline.definitions"
COMMANDS = {"job", "asset"}
OPTIONS = (
    "-m", "--module-name", "-f", "--python-file", "-w", "--workspace", "-d", "--working-directory",
    "-a", "--attribute", "--package-name", "--autoload-defs-module-name", "--empty-workspace",
)  # fmt: skip
VARIABLES = ("DAGSTER_MODULE_NAME", "DAGSTER_PYTHON_FILE", "DAGSTER_PACKAGE_NAME", "DAGSTER_WORKSPACE")


def names_a_location(words: list[str]) -> bool:
    """Whether a command line says itself where its definitions are."""
    return any(word.split("=")[0] in OPTIONS for word in words)


if (
    sys.argv[1:2]
    and sys.argv[1] in COMMANDS
    and not names_a_location(sys.argv[2:])
    and not any(name in os.environ for name in VARIABLES)
    and os.path.isfile(os.path.join("pipeline", "definitions.py"))  # noqa: PTH113, PTH118 - no pathlib at start-up
):
    os.environ["DAGSTER_MODULE_NAME"] = MODULE
