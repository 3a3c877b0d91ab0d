"""One output for all tests of the room."""

import pytest

from tests.support.tagged import save_tagged


@pytest.fixture(scope="package")
def tagged(tiny_bundle: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_tagged(tmp_path_factory.mktemp("tagged"), tiny_bundle)
