"""Every reader of the project's own files, given damaged ones, says so in the project's own words."""

import os
import subprocess
import sys

from tests.end_to_end.tiny_project import ROOT

SECONDS = 40


def test_damaged_files_are_refused_in_the_projects_own_words(project):
    """In a process of its own, since a signal would end this one. By hand: `python -m tests.faults fuzz --hours 1`."""
    words = [sys.executable, "-m", "tests.faults", "fuzz", "--hours", str(SECONDS / 3600)]
    store = {"SQUEEZE_FAULTS_STORE": str(project.folder / ".squeeze")}
    done = subprocess.run(words, cwd=ROOT, env=os.environ | store, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 kinds of foreign error" in done.stdout
