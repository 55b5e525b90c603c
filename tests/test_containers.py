"""The Dockerfile and the compose files agree with each other, with the clone and with the package.

No container is started: what is checked is what they name.
"""

import fnmatch
import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from pipeline.assets.naming import LOCATION, TRAINING_POOL

ROOT = Path(__file__).parents[1]
DOCKER = ROOT / "packaging" / "docker"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SERVICES = ("code", "pool", "webserver", "daemon")


def yaml(name):
    return YAML(typ="safe").load((DOCKER / name).read_text(encoding="utf-8"))


def instructions():
    """(word, rest) of every instruction, continued lines joined, without comments."""
    lines = [line for line in (DOCKER / "Dockerfile").read_text(encoding="utf-8").splitlines() if line[:1] != "#"]
    joined = re.sub(r"\\\n", " ", "\n".join(lines))
    return [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in joined.splitlines() if line.strip()]


def of(word):
    return [rest for found, rest in instructions() if found == word]


def copies():
    """(sources, destination) of every COPY out of the clone into the image."""
    words = [[word for word in shlex.split(rest) if not word.startswith("--")] for rest in of("COPY")]
    return [(found[:-1], found[-1]) for found in words]


def image_variables():
    return dict(pair.split("=", 1) for rest in of("ENV") for pair in shlex.split(rest))


def image_volumes():
    return [folder for rest in of("VOLUME") for folder in json.loads(rest)]


def place_in_image(path):
    """The file of the clone that an absolute path in the image was copied from."""
    for sources, destination in copies():
        if path == destination or path.startswith(destination.rstrip("/") + "/"):
            found = ROOT / sources[0] / path[len(destination) :].lstrip("/")
            return found if found.is_file() else None
    return None


def sent(path):
    """Whether a path of the clone is sent to the builder; the last pattern that matches decides, as Docker has it."""
    parents = [path, *map(str, Path(path).parents)]
    patterns = (DOCKER / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    verdict = True
    for pattern in filter(None, (line.strip() for line in patterns if not line.startswith("#"))):
        name = pattern.lstrip("!").removeprefix("**/")
        if any(fnmatch.fnmatchcase(parent, name) for parent in parents if parent != "." or name == "*"):
            verdict = pattern.startswith("!")
    return verdict


def test_everything_that_is_copied_is_in_the_clone_and_sent_to_the_builder():
    named = [source for sources, _ in copies() for source in sources if source != "."]
    wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    built_from = ["pyproject.toml", PROJECT["project"]["readme"], "LICENSE", *wheel["force-include"]]
    built_from += [f"{folder}/x" for folder in wheel["only-include"]]
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []
    assert [name for name in [*named, *built_from] if not sent(name)] == []
    kept_back = (".git/config", ".squeeze/store.json", "docs/guide.md", "tests/conftest.py", ".venv/bin/python")
    assert [name for name in kept_back if sent(name)] == []


def test_the_image_installs_this_package_on_a_python_it_runs_on():
    (python,) = re.findall(r"PYTHON=(\S+)", "\n".join(of("ARG")))
    least = PROJECT["project"]["requires-python"].removeprefix(">=")
    assert [int(part) for part in python.split(".")] >= [int(part) for part in least.split(".")]
    (name,) = re.findall(r"/wheel/(\w+)-\*\.whl\)\[\$EXTRAS\]", "\n".join(of("RUN")))
    assert name == PROJECT["project"]["name"].replace("-", "_")
    (extra,) = re.findall(r"^EXTRAS=(\w+)$", "\n".join(of("ARG")), re.MULTILINE)
    compose = (DOCKER / "compose.yaml").read_text(encoding="utf-8")
    assert [extra] == re.findall(r"SQUEEZE_EXTRAS:-(\w+)", compose)
    assert extra in PROJECT["project"]["optional-dependencies"]
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert {"torch", "dagster-postgres", "psycopg2-binary"} <= set(re.findall(r"^(\S+)==", pins, re.MULTILINE))


def test_the_device_is_cpu_or_cuda_everywhere():
    run = "\n".join(of("RUN"))
    assert re.findall(r"(\w+)\) ", run.partition("case ")[2]) == ["cpu", "cuda"]
    devices = re.findall(r"SQUEEZE_DEVICE:-(\w+)", (DOCKER / "compose.yaml").read_text(encoding="utf-8"))
    assert set(devices) == set(re.findall(r"DEVICE=(\w+)", "\n".join(of("ARG")))) == {"cpu"}


def test_a_user_without_rights_owns_what_is_kept():
    (user,) = of("USER")
    assert int(user) > 0
    run = "\n".join(of("RUN"))
    assert f"--uid {user} " in run
    owned = run.partition("install --directory")[2].split()
    for folder in [*image_volumes(), *of("WORKDIR")[-1:]]:
        assert folder in owned
    for name in ("SQUEEZE_HOME", "DAGSTER_HOME", "HF_HOME"):
        assert image_variables()[name] in image_volumes()


@pytest.mark.parametrize("name", ["CMD", *SERVICES])
def test_each_command_is_a_program_of_the_package_with_such_options(name):
    words = json.loads(of("CMD")[0]) if name == "CMD" else yaml("compose.yaml")["services"][name]["command"]
    options = [word for word in words if word.startswith("--")]
    program, *rest = words[: words.index(options[0])] if options else words
    shown = subprocess.run(
        [str(Path(sys.executable).parent / program), *rest, "--help"], capture_output=True, text=True, timeout=120
    )
    assert shown.returncode == 0, shown.stderr
    assert [option for option in options if option not in shown.stdout] == []
    for path in [word for word in words if word.endswith(".yaml")]:
        assert place_in_image(path), f"{path} is not in the image"


def test_webserver_and_daemon_find_the_code_server():
    services = yaml("compose.yaml")["services"]
    (location,) = yaml("services/workspace.yaml")["load_from"]
    server = location["grpc_server"]
    command = services[server["host"]]["command"]
    assert command[command.index("--port") + 1] == str(server["port"]) == services["code"]["healthcheck"]["test"][-1]
    (alone,) = yaml("alone/workspace.yaml")["load_from"]
    assert server["location_name"] == alone["python_module"]["location_name"] == LOCATION
    module = command[command.index("--module-name") + 1]
    assert (
        module
        == alone["python_module"]["module_name"]
        == PROJECT["tool"]["dg"]["project"]["code_location_target_module"]
    )
    folder = command[command.index("--working-directory") + 1]
    assert folder == alone["python_module"]["working_directory"]
    assert any(destination.startswith(f"{folder}/") for _, destination in copies())


def test_only_the_web_ui_has_a_port_and_on_this_machine_alone():
    services = yaml("compose.yaml")["services"]
    assert [name for name, service in services.items() if "ports" in service] == ["webserver"]
    (port,) = services["webserver"]["ports"]
    host, _, inside = port.partition(":")[0], *port.rpartition(":")[1:]
    command = services["webserver"]["command"]
    assert host == "127.0.0.1"
    assert [inside] == of("EXPOSE") == [command[command.index("--port") + 1]]
    assert f"127.0.0.1:{inside}/" in services["webserver"]["healthcheck"]["test"][-1]


def test_every_volume_is_declared_and_every_file_is_there():
    compose = yaml("compose.yaml")
    used = set()
    for name, service in compose["services"].items():
        for volume in service["volumes"]:
            source, target = re.fullmatch(r"(\$\{[^}]*:-\w+\}|[^:]+):([^:]+)(?::ro)?", volume).groups()
            if source.startswith("./"):
                assert (DOCKER / source).is_file(), source
            else:
                used.add(re.sub(r"\$\{\w+:-(\w+)\}", r"\1", source))
            if name in SERVICES:
                assert target in [*image_volumes(), *of("WORKDIR")] or target == "/squeeze/dagster/dagster.yaml"
    assert used == set(compose["volumes"])


def test_each_service_has_the_variables_of_dagsters_settings():
    services = yaml("compose.yaml")["services"]
    database = yaml("services/dagster.yaml")["storage"]["postgres"]["postgres_db"]
    asked = {value["env"] for value in database.values() if isinstance(value, dict)}
    for name in SERVICES:
        given = services[name]["environment"]
        assert asked <= set(given)
        assert given["POSTGRES_HOST"] in services
        assert "./services/dagster.yaml:/squeeze/dagster/dagster.yaml:ro" in services[name]["volumes"]
    postgres = services["postgres"]["environment"]
    assert {key: services["code"]["environment"][key] for key in postgres} == postgres
    assert database["scheme"] == "postgresql+psycopg2"
    waits = {name: set(services[name]["depends_on"]) for name in SERVICES}
    both = {"postgres", "code"}
    assert waits == {"code": {"postgres"}, "pool": both, "webserver": both, "daemon": both | {"pool"}}
    assert all("healthcheck" in services[name] for name in ("postgres", "code"))


def test_the_pool_of_training_has_its_limit_before_a_run_can_start():
    services = yaml("compose.yaml")["services"]
    assert services["pool"]["command"] == ["dagster", "instance", "concurrency", "set", TRAINING_POOL, "1"]
    assert services["pool"]["restart"] == "no"
    assert services["daemon"]["depends_on"]["pool"] == {"condition": "service_completed_successfully"}
    assert "pools" not in yaml("services/dagster.yaml")["concurrency"]


def test_the_gpus_go_to_the_service_that_trains():
    services = yaml("compose.cuda.yaml")["services"]
    assert set(services) == {"code"}
    (devices,) = services["code"]["deploy"]["resources"]["reservations"]["devices"]
    assert devices["capabilities"] == ["gpu"]


def test_the_page_names_every_variable_and_every_file():
    page = (ROOT / "docs" / "containers.md").read_text(encoding="utf-8")
    text = "".join(file.read_text(encoding="utf-8") for file in DOCKER.glob("compose*.yaml"))
    used = set(re.findall(r"\$\{(\w+)", text))
    assert used == set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))
    for name in re.findall(r"-f (\S+)", page):
        assert (ROOT / name).is_file(), name
    assert set(re.findall(r"--build-arg (\w+)=", page)) <= set(re.findall(r"(\w+)=", "\n".join(of("ARG"))))
