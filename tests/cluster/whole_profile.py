"""`python -m tests.cluster.whole_profile`: builds all of the profile SQUEEZE_PROFILE in the folder SQUEEZE_HOME.

The last line that it prints is {key: content hash} of what is current for the profile. All that goes by parts goes to
the engine, however small it is. It is also run by a Python that has the project's requirements and nothing else.
"""

from __future__ import annotations

import json
from unittest import mock

import dagster as dg

from pipeline.definitions import build_definitions
from pipeline.profile.profile import load_profile
from pipeline.store import Store
from pipeline.store.home import squeeze_home
from pipeline.store.local import LocalBackend
from tests.cluster.small_work import give_small_work_away


def main() -> None:
    give_small_work_away(lambda name, value: mock.patch(name, value).start())
    profile, home = load_profile(), squeeze_home()
    job = build_definitions(profile, str(home)).resolve_job_def("full_train")
    job.execute_in_process(instance=dg.DagsterInstance.ephemeral())
    store = Store(home, profile.name, backend=LocalBackend(home))
    print(json.dumps({key: item.content_hash for _, key, item in store.pointers(profile.name) if item is not None}))


if __name__ == "__main__":
    main()
