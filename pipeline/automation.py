"""What starts runs by itself: a sensor and a schedule, both off until somebody turns them on in the UI; and one that
ends runs whose process is gone.

The sensor asks the store, not Dagster's history: a model's ancestry says which content of every corpus it was
trained on, so "a corpus has changed" means that the current one has another content hash than the one behind the
current model. It needs no cursor, and a rebuild that gave the same content starts nothing.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Final

import dagster as dg

from pipeline.assets import dead_runs
from pipeline.assets.stored_asset import StoreResource
from pipeline.base.canonical import text_hash
from pipeline.jobs import FULL_TRAIN, VERIFY_STORE
from pipeline.profile.profile import Profile
from pipeline.store import Store

SENSOR_SECONDS: Final = 60
WEEKLY: Final = "0 3 * * 0"  # Sunday, three in the morning
_IN_PROGRESS: Final = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def sensors(profile: Profile, store: StoreResource) -> list[dg.SensorDefinition]:
    """`retrain_on_new_corpus`: runs full_train when a corpus is no longer what the model was trained on;
    `end_dead_runs`."""
    corpora = [f"corpus/{name}" for name in profile.corpora]

    @dg.sensor(
        name="retrain_on_new_corpus",
        job_name=FULL_TRAIN,
        minimum_interval_seconds=SENSOR_SECONDS,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description="Runs full_train when the content of a corpus is no longer the one the current model was trained "
        "on. Once for each content; not while another run is in progress.",
    )
    def retrain(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        opened = store.open()
        trained_on = corpora_of_model(opened)
        if trained_on is None:
            return dg.SkipReason("nothing is trained yet: launch full_train once")
        now = content_hashes(opened, corpora)
        changed = sorted(key for key, content in now.items() if trained_on.get(key) != content)
        if not changed:
            return dg.SkipReason("the model was trained on the corpora as they are")
        if context.instance.get_runs_count(dg.RunsFilter(statuses=_IN_PROGRESS)):
            return dg.SkipReason(f"{', '.join(changed)} changed, but a run is in progress: looked at again after it")
        key = text_hash(json.dumps([profile.name, now], sort_keys=True))[:32]
        return dg.RunRequest(run_key=key, tags={"profile": profile.name, "because": f"{', '.join(changed)} changed"})

    return [retrain, dead_runs.sensor()]


def schedules() -> list[dg.ScheduleDefinition]:
    """`verify_store_weekly`: hashes everything on disk once a week."""
    return [
        dg.ScheduleDefinition(
            name="verify_store_weekly",
            job_name=VERIFY_STORE,
            cron_schedule=WEEKLY,
            default_status=dg.DefaultScheduleStatus.STOPPED,
            description="Hashes everything in the store against its manifests, Sundays at 3:00 UTC.",
        )
    ]


def content_hashes(store: Store, keys: Sequence[str]) -> dict[str, str]:
    """Content hashes of the current artifacts; keys that have none are left out."""
    artifacts = {key: store.find_current(key) for key in keys}
    return {key: artifact.content_hash for key, artifact in artifacts.items() if artifact is not None}


def corpora_of_model(store: Store) -> Mapping[str, str] | None:
    """Content hashes of the corpora behind the current model, by key; None where there is no model."""
    model = store.find_current("model")
    if model is None:
        return None
    hashes: dict[str, str] = {}
    for artifact in store.ancestry(model).values():  # nearest first: what was reused may have older ancestors
        if artifact.key.startswith("corpus/"):
            hashes.setdefault(artifact.key, artifact.content_hash)
    return hashes
