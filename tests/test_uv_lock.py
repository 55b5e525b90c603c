"""uv.lock holds the same versions as constraints.txt, for what pyproject.toml asks for, from public addresses alone."""

import re
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from pip._internal.models.index import PyPI

ROOT = Path(__file__).parents[1]
PUBLIC = {PyPI.netloc, PyPI.file_storage_domain}


def plain(name):
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.fixture(scope="module")
def packages():
    return tomllib.loads((ROOT / "uv.lock").read_text())["package"]


def test_every_constraint_is_a_version_of_the_lock(packages):
    locked = {(plain(item["name"]), item.get("version")) for item in packages}
    pins = [line.split("#")[0].strip() for line in (ROOT / "constraints.txt").read_text().splitlines()]
    wanted = {(plain(name), version) for name, _, version in (pin.partition("==") for pin in pins if pin)}
    assert wanted - locked == set(), "run `uv lock -P NAME==VERSION` for these"


def test_the_lock_is_of_the_requirements_as_they_are(packages):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    given = {"": project["dependencies"], **project["optional-dependencies"]}
    asked = {(extra, plain(re.split(r"[><=~\[ ]", text)[0])) for extra, texts in given.items() for text in texts}
    (own,) = [item for item in packages if item["name"] == project["name"]]
    held = own["metadata"]["requires-dist"]
    locked = {((re.findall(r"extra == '(\w+)'", item.get("marker", "")) or [""])[0], item["name"]) for item in held}
    assert locked == asked, "run `uv lock`"


def test_only_public_addresses_are_in_the_lock():
    addresses = re.findall(r"\w+://[^\s\"]+", (ROOT / "uv.lock").read_text())
    assert {urlsplit(address).hostname for address in addresses} == PUBLIC
