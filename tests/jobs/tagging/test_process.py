"""What a process that has a shard tells a supervisor meanwhile."""

from typing import Any
from unittest.mock import Mock

import pytest

from jobs.tagging import process
from jobs.tagging.process import Teller


def test_a_teller_adds_up_what_is_tagged_in_a_batch_and_passes_on_signs_of_life(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(process, "TELL_SECONDS", 0.0)
    supervisor: Any = Mock()
    tell = Teller(supervisor)
    for shard in ("a", "b"):
        tell.begin(shard)
        for sentences in (0, 0, 3, 4):
            tell(sentences)
    told = [call.args for call in supervisor.work.remote.call_args_list]
    assert told == [(shard, ahead) for shard in ("a", "b") for ahead in (0, 0, 3, 7)]
