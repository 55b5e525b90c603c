"""Makes the literal command `dagster job execute -j full_train` find this project without `-m`, in any folder.

`dagster job` and `dagster asset` read neither workspace.yaml nor pyproject.toml; all they take is an option such as
`-m`, or the environment variable DAGSTER_MODULE_NAME, and without DAGSTER_HOME or a dagster.yaml they forget every run.
`squeeze_default_location.pth`, installed beside this file, imports it when Python starts as `dagster`; it sets the
variables that are missing:

- DAGSTER_MODULE_NAME where a command that needs a location is given none. A folder with a workspace or a project of its
  own is left to it wherever Dagster itself would read it, which `job execute` and `asset materialize` never do.
- DAGSTER_WORKING_DIRECTORY, from which Dagster imports the module, so that it is the installed one and no folder named
  `pipeline` or `trainer` where the command is run. In a clone of Squeeze the clone's own code runs, and
  `-m pipeline.definitions` means a `pipeline/definitions.py` in the folder where there is one, as Python has it.
- DAGSTER_HOME where a run would leave no history: `.dagster` in the working folder, as in a clone.
- DAGSTER_CLI_DEV_WORKSPACE for `dagster dev` with such a history: a workspace in that folder, because runs are tagged
  with the location's name, `pipeline`, and only a workspace can give it. `dagster dev` gets the first two by names of
  that kind as well, and in a clone nothing: its workspace.yaml says all.

Two lines of advice with which Dagster begins every such run are left out.

Nothing is set for any other command, and uninstalling the package removes both files.
"""

import os
import sys
import warnings

MODULE = "pipeline.definitions"
EXECUTE = {("job", "execute"), ("asset", "materialize")}
"""What takes only a location's options: no workspace is read."""
OWN_ADVICE = r"Function `(job_execute|asset_materialize)_command` is superseded"
"""Dagster's advice to take `dg launch`, given before any code of this project is there to leave it out."""
COMMANDS = {"job", "asset", "schedule", "sensor", "definitions", "dev"}
DEV = "DAGSTER_CLI_DEV_"
"""How Dagster calls what `dagster dev` alone reads: by the other names the servers that it starts would read them too,
refuse them beside the workspace that it gives them, and never end."""
FOR_ALL = ("DAGSTER_HOME",)
KEEPS_HISTORY = {"execute", "materialize", "launch", "backfill", "dev"}
MODULE_OPTIONS = ("-m", "--module-name")
FOLDER_OPTIONS = ("-d", "--working-directory")
OPTIONS = (
    *MODULE_OPTIONS, *FOLDER_OPTIONS, "-f", "--python-file", "-w", "--workspace", "-a", "--attribute", "--package-name",
    "--autoload-defs-module-name", "--empty-workspace", "--grpc-port", "--grpc-socket", "--grpc-host",
)  # fmt: skip
VARIABLES = ("DAGSTER_MODULE_NAME", "DAGSTER_PYTHON_FILE", "DAGSTER_PACKAGE_NAME", "DAGSTER_WORKSPACE")
INSTANCE = """\
# Written by Squeeze for the runs of this folder; it may be changed.
telemetry:
  enabled: false
nux:
  enabled: false
"""
WORKSPACE = """\
# Written by Squeeze whenever `dagster dev` starts in this folder.
load_from:
  - python_module:
      module_name: pipeline.definitions
      location_name: pipeline
      working_directory: {package!r}
"""


def dagster_words(command_line):
    """What stands after `dagster` on a command line; none where it is another program's."""
    for place, word in enumerate(command_line[:6]):
        if place and os.path.basename(word) in ("dagster", "dagster.exe"):  # noqa: PTH119 - no pathlib at start-up
            return command_line[place + 1 :]
    return []


def variables(words, environment, folder, package):
    """The variables that a command of `dagster`, run in `folder`, lacks; `package` is where Squeeze is installed."""
    missing = for_any_command(words, environment, folder, package)
    if not words or words[0] != "dev":
        return missing
    return {name if name in FOR_ALL else name.replace("DAGSTER_", DEV, 1): value for name, value in missing.items()}


def for_any_command(words, environment, folder, package):
    """As `variables`, by the names that every command reads."""
    if not words or words[0] not in COMMANDS or {"-h", "--help"} & set(words):
        return {}
    named = option(words, MODULE_OPTIONS) or environment.get("DAGSTER_MODULE_NAME")
    if names_a_location(words) or any(name in environment for name in VARIABLES):
        if named != MODULE or has(folder, "pipeline", "definitions.py") or option(words, FOLDER_OPTIONS):
            return {}
    elif has_own_project(folder) and (words[0] == "dev" or (tuple(words[:2]) not in EXECUTE and not is_clone(folder))):
        return {}
    missing = {} if named else {"DAGSTER_MODULE_NAME": MODULE}
    if not is_clone(folder) and "DAGSTER_WORKING_DIRECTORY" not in environment:
        missing["DAGSTER_WORKING_DIRECTORY"] = package
    if "DAGSTER_HOME" not in environment and not has(folder, "dagster.yaml"):
        home = os.path.join(folder, ".dagster")  # noqa: PTH118
        if KEEPS_HISTORY & set(words[:2]) or has(home, "dagster.yaml"):
            missing["DAGSTER_HOME"] = home
    if words[0] == "dev" and not named and "DAGSTER_HOME" in missing:
        workspace = os.path.join(missing["DAGSTER_HOME"], "workspace.yaml")  # noqa: PTH118
        return {"DAGSTER_HOME": missing["DAGSTER_HOME"], "DAGSTER_WORKSPACE": workspace}
    return missing


def names_a_location(words):
    """Whether a command line says itself where its definitions are."""
    return any(word.split("=")[0] in OPTIONS for word in words)


def option(words, names):
    """The value of an option on a command line, or None."""
    for place, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name in names:
            return value if equals else (words[place + 1 : place + 2] or [""])[0]
    return None


def is_clone(folder):
    """Whether the folder is a clone of Squeeze, whose own code is meant there."""
    return has(folder, "pipeline", "definitions.py") and 'name = "squeeze-gpt"' in text(folder, "pyproject.toml")


def has_own_project(folder):
    """Whether Dagster finds a workspace or a project in the folder by itself."""
    return has(folder, "workspace.yaml") or "[tool.d" in text(folder, "pyproject.toml")


def has(*parts):
    return os.path.isfile(os.path.join(*parts))  # noqa: PTH113, PTH118


def text(*parts):
    try:
        with open(os.path.join(*parts), encoding="utf-8", errors="replace") as file:  # noqa: PTH118, PTH123
            return file.read()
    except OSError:
        return ""


def make_home(home, package):
    """The folder of Dagster's history with its settings; False where it cannot be written."""
    try:
        os.makedirs(home, exist_ok=True)  # noqa: PTH103
        if not has(home, "dagster.yaml"):
            write(INSTANCE, home, "dagster.yaml")
        write(WORKSPACE.format(package=package), home, "workspace.yaml")
    except OSError:
        return False
    return True


def write(content, *parts):
    with open(os.path.join(*parts), "w", encoding="utf-8") as file:  # noqa: PTH118, PTH123
        file.write(content)


def main():
    words = dagster_words(sys.orig_argv)
    if not words or words[0] not in COMMANDS:
        return
    if tuple(words[:2]) in EXECUTE:
        warnings.filterwarnings("ignore", message=OWN_ADVICE)
    import pipeline  # of one line; no folder of the command's own is on Python's path yet

    package = os.path.dirname(os.path.dirname(os.path.abspath(pipeline.__file__)))  # noqa: PTH100, PTH120
    folder = os.getcwd()  # noqa: PTH109
    missing = variables(words, os.environ, folder, package)
    if "DAGSTER_HOME" in missing and not make_home(missing["DAGSTER_HOME"], package):
        missing = variables(words, os.environ | {"DAGSTER_HOME": ""}, folder, package)
    os.environ.update(missing)


main()
