"""The jobs: which assets each one materializes, and what its launchpad shows.

Every job but `full_train` is a part of the graph. What its assets are built from, and it does not select, is read from
the store as the profile last left it; an input that is not there ends the run with the command that makes it. No heavy
imports.
"""

from typing import Any, Final

import dagster as dg

from pipeline.assets.ablations import GROUP as STUDY
from pipeline.assets.naming import Naming, claim_run
from pipeline.assets.race import GROUP as RACE
from pipeline.assets.stored_asset import StoreResource
from pipeline.assets.training import GROUP as TRAINING
from pipeline.profile.profile import Profile
from pipeline.store.maintenance import damaged_in

FULL_TRAIN: Final = "full_train"
VERIFY_STORE: Final = "verify_store"
SHOWN_OF_OPTIMIZER: Final = ("learning_rate", "adam_learning_rate", "weight_decay")
SHOWN: Final = ("seed", "max_steps", "max_minutes", "device")
"""Training settings written out in the launchpad; its other fields take any of the rest."""
MOST_FAULTS: Final = 20


def jobs(profile: Profile, naming: Naming) -> list[Any]:
    """Every job but those of the study and the race."""

    def groups(*names: str) -> dg.AssetSelection:
        return dg.AssetSelection.groups(*map(naming.group, names))

    trains = _training_config(profile)
    tokens = dg.AssetSelection.key_prefixes(naming.asset_key("tokens").path)
    parts: dict[str, tuple[dg.AssetSelection, str, dict[str, Any]]] = {
        FULL_TRAIN: (
            dg.AssetSelection.all() - groups(STUDY, RACE),  # the study and the race are jobs of their own
            "Everything from the sources to the scorecard; what is already built is reused. The launchpad's values are "
            "the profile's: change one for this run alone.",
            trains,
        ),
        "curate": (
            groups("sources", "curation"),
            "Fetch and normalise the sources, split off held-out text, find duplicates and contamination, select.",
            {},
        ),
        "train_tokenizers": (
            groups("tokenizers") - tokens,
            "Train or load every candidate on the curated corpora, compare them on held-out text, and choose one.",
            {},
        ),
        "shards": (
            tokens | groups("shards"),
            "Encode the corpora with the chosen tokenizer, work out the schedule, and shuffle every epoch's shards.",
            {},
        ),
        "train_only": (
            groups(TRAINING),
            "Train on the shards that are there, and export. A stopped run goes on from its newest checkpoint.",
            trains,
        ),
        "evaluate": (
            groups("evaluation"),
            "Score the model that is there with every suite of the profile; scorecard and report.",
            {},
        ),
    }
    return [
        *(
            dg.define_asset_job(name, selection=selection, description=description, config=config, tags=naming.run_tags)
            for name, (selection, description, config) in parts.items()
        ),
        _verify_store(naming),
    ]


def _training_config(profile: Profile) -> dict[str, Any]:
    """The profile's own values: laid over the profile they change nothing until one is edited."""
    training = profile.training
    optimizer = {name: getattr(training.optimizer, name) for name in SHOWN_OF_OPTIMIZER}
    shown = {"optimizer": optimizer} | {name: getattr(training, name) for name in SHOWN}
    return {"ops": {"model": {"config": shown}}}


@dg.op(
    name="hash_every_file",
    description="Hash every file of every artifact against its manifest; fails naming what is damaged or missing.",
    required_resource_keys={"store"},
    out=dg.Out(dg.Nothing),
)
def hash_every_file(context: dg.OpExecutionContext) -> None:
    store: StoreResource = context.resources.store
    claim_run(context.run, context.instance, context.log, Naming(store.profile))
    faults: list[str] = []
    size = count = 0
    for count, looked in enumerate(damaged_in(store.open()), start=1):  # noqa: B007
        size += looked.bytes or 0
        for fault in looked.faults:
            faults.append(fault)
            context.log.error(fault)
    context.add_output_metadata({"artifacts": count, "megabytes": round(size / 1e6, 3), "faults": len(faults)})
    context.log.info(f"{count} artifacts, {size / 1e6:,.1f} MB, {len(faults)} faults")
    if faults:
        listed = "\n".join(faults[:MOST_FAULTS])
        raise dg.Failure(
            f"{len(faults)} files are not what was built:\n{listed}\n"
            "Put what is damaged aside with `squeeze verify --repair` and run full_train: it builds just that anew",
            metadata={"faults": len(faults)},
            allow_retries=False,
        )


def _verify_store(naming: Naming) -> dg.JobDefinition:
    @dg.job(
        name=VERIFY_STORE,
        description="Hash everything in the store against its manifests: finds bits that flipped and files that are "
        "gone.",
        tags=naming.run_tags,
    )
    def verify_store() -> None:
        hash_every_file()

    return verify_store
