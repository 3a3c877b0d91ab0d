"""A supervisor of a tagging run, for tests of stalls. Its process imports this module, and so little besides."""

from typing import Any

from jobs.tagging.supervisor import Supervisor


class Patient(Supervisor):
    """Waits for an actor to begin, however long that takes: the seconds of silence are those since then."""

    def state(self) -> dict[str, Any]:
        begun = any(attempt.batch for attempt in self.running.values())
        return super().state() | ({} if begun else {"silent": 0.0})
