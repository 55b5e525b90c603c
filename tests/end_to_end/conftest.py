"""The tiny project, built once for all tests that only look at it, or fresh for those that change it."""

import shutil

import pytest
from tiny_project import Project


@pytest.fixture(scope="session")
def project(tmp_path_factory):
    """The project after its first full_train."""
    folder = tmp_path_factory.mktemp("project")
    made = Project(folder)
    made.first = made.full_train()
    yield made
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def fresh_project(tmp_path):
    """A project in which nothing was built yet."""
    return Project(tmp_path)
