"""What a job has to say, as people read it in a log."""

from metaner_core.command import USERS_ERRORS, run

__all__ = ["USERS_ERRORS", "run", "say"]


def say(*parts: object) -> None:
    """One line of log, at once."""
    print(*parts, flush=True)
