"""The artifact store: what is built is named by what it was built from, committed atomically, and never built twice.

`store` is what everybody calls; `backend` says where artifacts are, and `local` is the one backend there is. The
manifest of an artifact is the truth; it outlives Dagster's history.
"""

from pipeline.store.artifact import Artifact
from pipeline.store.manifest import Manifest
from pipeline.store.recipe import Built, Outcome
from pipeline.store.store import Store

__all__ = ["Artifact", "Built", "Manifest", "Outcome", "Store"]
