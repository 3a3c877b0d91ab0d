"""A bundle that finds names of all types, and the Python API on it."""

import pytest

import metaner_core
from metaner_core.tagging.api import BundleTagger
from tests.support.outspoken import outspoken


@pytest.fixture(scope="session")
def uri(tiny_bundle: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    return outspoken(tiny_bundle, tmp_path_factory.mktemp("tagging"))


@pytest.fixture(scope="session")
def tagger(uri: str) -> BundleTagger:
    return metaner_core.load(uri)
