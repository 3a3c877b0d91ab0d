"""A run that is killed at random places ends with the rows of one that is left alone."""

from pathlib import Path

import pytest

from tests.support.kills import hundred


@pytest.mark.slow
@pytest.mark.cluster
@pytest.mark.timeout(1500)
def test_some_kills_leave_no_difference(tmp_path: Path) -> None:
    """A hundred of 10^5 documents: python -m tests.support.kills --help."""
    killed = hundred(tmp_path / "kills", documents=300, kills=5, seed=1)
    assert sum(killed.values()) >= 3
    assert killed["driver"]
    assert killed["node"]
