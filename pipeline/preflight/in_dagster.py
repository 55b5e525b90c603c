"""How preflight hangs in Dagster: in the executor, which begins every run, of a job or of single assets.

In: recipes and a store. Out: an executor with preflight before it: Dagster's in-process one, or the one that gives
every asset a process. A refusal fails the run before any step, so that no asset is marked as failed for something that
is not its own. It is no asset, which a run of others would not select, and no resource, which would not know what the
run selects. Tests that call `materialize` fly without it.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import dagster as dg

from pipeline.assets.dead_runs import end_dead_runs, mark_run
from pipeline.assets.naming import POOL_TAG, Naming, claim_run, op_name
from pipeline.assets.stored_asset import StoredAsset, StoreResource
from pipeline.base.errors import ProfileError, SqueezeError
from pipeline.preflight.finding import PreflightError, refusal
from pipeline.preflight.flight import flight_of
from pipeline.preflight.preflight import timed, told
from pipeline.profile.profile import Profile
from trainer.errors import TrainerError

AT_ONCE: Final = "assets_at_once"
STOPPING: Final = "received termination signal"
"""What the executor of processes says when the run is stopped."""


def executor_with_preflight(
    profile: Profile, assets: Sequence[StoredAsset[Any]], naming: Naming, store: StoreResource
) -> dg.ExecutorDefinition:
    """Assets one after the other in the run's process, or several at once in a process each, after a look at what they
    will need."""

    def create(context: dg.InitExecutorContext) -> dg.Executor:
        at_once = _at_once(context.executor_config)
        if at_once < 1:
            raise ProfileError(f"execution: config: {AT_ONCE} is {at_once}, and must be at least 1")
        retries: dict[str, Any] = {"retries": {"enabled": {}}}
        if at_once == 1:
            inner, config = dg.in_process_executor, retries
        else:
            inner, config = dg.multiprocess_executor, retries | _processes(at_once, assets)
        made = inner.executor_creation_fn(context._replace(executor_config=config))  # type: ignore[misc]
        return _Preflighting(made, profile, assets, naming, store)

    def requirements(config: Mapping[str, object]) -> Sequence[dg.ExecutorRequirement]:
        return dg.multiple_process_executor_requirements() if _at_once(config) > 1 else []

    field = dg.Field(
        int,
        default_value=profile.assets_at_once,
        description="Assets that are worked on at the same time; more than 1: each in a process of its own.",
    )
    return dg.ExecutorDefinition(
        name="with_preflight",
        config_schema={AT_ONCE: field},
        requirements=requirements,
        executor_creation_fn=create,
        description="Preflight, then every step: in this process, as assets use all cores themselves, or some at once.",
    )


def _told_alike(events: Iterator[Any]) -> Iterator[Any]:
    """A run's events, which end where processes of single assets failed or were stopped as where the run's own did."""
    failed = stopped = False
    try:
        for event in events:
            failed = failed or event.is_step_failure
            stopped = stopped or (event.is_engine_event and STOPPING in (event.message or ""))
            yield event
    except dg.DagsterSubprocessError:
        if stopped:
            raise dg.DagsterExecutionInterruptedError from None
        if not failed:
            raise


def _at_once(config: Mapping[str, object]) -> int:
    return int(str(config.get(AT_ONCE, 1)))


def _processes(at_once: int, assets: Sequence[StoredAsset[Any]]) -> dict[str, Any]:
    """Configuration of the executor that starts a process a step: of a pool's assets one at a time."""
    pools = sorted({asset.pool for asset in assets if asset.pool})
    return {
        "max_concurrent": at_once,
        "tag_concurrency_limits": [{"key": POOL_TAG, "value": pool, "limit": 1} for pool in pools],
        "start_method": {"spawn": {}},
    }


class _Preflighting(dg.Executor):
    """Another executor with preflight before it."""

    def __init__(
        self,
        inner: dg.Executor,
        profile: Profile,
        assets: Sequence[StoredAsset[Any]],
        naming: Naming,
        store: StoreResource,
    ) -> None:
        self._inner, self._naming = inner, naming
        self._profile, self._assets, self._store = profile, assets, store

    @property
    def retries(self) -> Any:
        return self._inner.retries

    @property
    def step_dependency_config(self) -> Any:
        return self._inner.step_dependency_config

    def execute(self, plan_context: Any, execution_plan: Any) -> Iterator[Any]:
        run, instance, log = plan_context.dagster_run, plan_context.instance, plan_context.log
        claim_run(run, instance, log, self._naming)
        mark_run(run, instance, log)
        for ended in end_dead_runs(instance):
            log.warning(f"run {ended} was still said to be at work, and its process is gone: ended")
        ops: Mapping[str, Any] = plan_context.run_config.get("ops", {})
        steps = set(execution_plan.step_keys_to_execute)
        selected = [asset for asset in self._assets if op_name(asset.key) in steps]
        if selected:
            given = {asset.key: ops.get(op_name(asset.key), {}).get("config", {}) for asset in selected}
            self._look(selected, given, plan_context.log)
            yield from self._on_one_footing(plan_context, execution_plan, selected)
        else:
            yield from self._inner.execute(plan_context, execution_plan)

    def _on_one_footing(self, plan_context: Any, plan: Any, assets: Sequence[StoredAsset[Any]]) -> Iterator[Any]:
        """The run's steps; whatever others make current meanwhile, they build on what was there when it began."""
        store = self._store.open(plan_context.dagster_run)
        store.look_ahead(key for asset in assets for key in (asset.key, *asset.inputs, *asset.optional))
        footing, failed = store.footing, False
        try:
            for event in _told_alike(self._inner.execute(plan_context, plan)):
                failed = failed or event.is_step_failure
                yield event
            if footing is not None:
                footing.catch_up()  # with what processes of single assets have made
        except BaseException:
            failed = True
            raise
        finally:
            if footing is not None:
                footing.end(keep=failed)

    def _look(self, selected: Sequence[StoredAsset[Any]], given: Mapping[str, Any], log: Any) -> None:
        try:
            flight = flight_of(self._profile, self._store.open(), selected, given)
            findings, seconds = timed(flight)
        except (SqueezeError, TrainerError) as error:
            raise PreflightError(f"preflight: {error}") from None
        if findings:
            told(findings, seconds, log)
        if (refused := refusal(findings)) is not None:
            raise refused
