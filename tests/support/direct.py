"""A supervisor of a tagging run without Ray, for tests of those who ask it."""

import asyncio
import inspect
from typing import Any

from jobs.tagging.supervisor import Supervisor


class Direct:
    """A supervisor whose methods are called as an actor's are."""

    def __init__(self) -> None:
        self.it = Supervisor()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.it, name)
        return type("Method", (), {"remote": staticmethod(method)})


def ask(answer: Any) -> Any:
    """In place of `jobs.tagging.supervisor.ask`."""
    return asyncio.run(answer) if inspect.iscoroutine(answer) else answer
