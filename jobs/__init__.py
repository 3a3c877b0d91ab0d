"""The method on Ray: meta-training, bulk tagging and evaluation as jobs. Imports metaner_core, never the reverse."""

import os

# The raylet warns of many processes: of boards and the like, which take no CPU. Read when Ray is imported.
os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", "worker processes have been started on node")
