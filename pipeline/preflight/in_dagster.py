"""How preflight hangs in Dagster: in the executor, which begins every run, of a job or of single assets.

In: recipes and a store. Out: the in-process executor with preflight before it. A refusal fails the run before any step,
so that no asset is marked as failed for something that is not its own. It is no asset, which a run of others would not
select, and no resource, which would not know what the run selects. Tests that call `materialize` fly without it.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import dagster as dg

from pipeline.assets.dead_runs import end_dead_runs, mark_run
from pipeline.assets.naming import Naming, claim_run, op_name
from pipeline.assets.stored_asset import StoredAsset, StoreResource
from pipeline.base.errors import SqueezeError
from pipeline.preflight.finding import PreflightError, refusal
from pipeline.preflight.flight import flight_of
from pipeline.preflight.preflight import timed, told
from pipeline.profile.profile import Profile
from trainer.errors import TrainerError


def executor_with_preflight(
    profile: Profile, assets: Sequence[StoredAsset[Any]], naming: Naming, store: StoreResource
) -> dg.ExecutorDefinition:
    """Assets one after the other in the run's process, after a look at what they will need."""
    inner = dg.in_process_executor

    def create(context: dg.InitExecutorContext) -> dg.Executor:
        return _Preflighting(inner.executor_creation_fn(context), profile, assets, naming, store)  # type: ignore[misc]

    return dg.ExecutorDefinition(
        name=inner.name,
        config_schema=inner.config_schema,  # type: ignore[arg-type]
        executor_creation_fn=create,
        description="Preflight, then every step in this process: assets use all cores themselves.",
    )


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
        failed = False
        try:
            for event in self._inner.execute(plan_context, plan):
                failed = failed or event.is_step_failure
                yield event
        except BaseException:
            failed = True
            raise
        finally:
            if store.footing is not None:
                store.footing.end(keep=failed)

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
