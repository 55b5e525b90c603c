"""The artifact store: what is built is named by what it was built from, committed atomically, and never built twice.

Layout: `<root>/<asset key>/<fingerprint>/{manifest.json, files...}` and one pointer a profile,
`<root>/<asset key>/CURRENT.<profile>`. The manifest on disk is the truth; it outlives Dagster's history.
"""

from pipeline.base.canonical import canonical_json
from pipeline.store.fingerprint import fingerprint
from pipeline.store.manifest import Artifact, Manifest
from pipeline.store.store import Built, Outcome, Store

__all__ = ["Artifact", "Built", "Manifest", "Outcome", "Store", "canonical_json", "fingerprint"]
