"""An address at which there is no Ray, or no storage: told at once, and what to give instead."""

import socket

import pytest

from jobs.common import address
from jobs.common.address import require_answering, require_storage


@pytest.fixture
def free() -> int:
    """A port of this machine where nobody listens."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_where_nobody_listens_is_told_within_seconds(scheme: str, free: int) -> None:
    address = f"{scheme}127.0.0.1:{free}"
    with pytest.raises(ValueError, match=f"{address}, and no Ray answers there .*refused.*ray start --head"):
        require_answering(address, seconds=5)


def test_a_name_that_nobody_has_is_told() -> None:
    with pytest.raises(ValueError, match=r"head\.invalid:6379, and no Ray answers there"):
        require_answering("head.invalid:6379", seconds=5)


@pytest.mark.parametrize("address", ["nowhere", "10.0.0.1", "ray://", "10.0.0.1:", "10.0.0.1:port", "", "host:1:2/x"])
def test_what_is_no_address_is_told(address: str) -> None:
    with pytest.raises(ValueError, match="no address of a Ray; give HOST:PORT"):
        require_answering(address)


def test_a_port_that_cannot_be_is_told() -> None:
    with pytest.raises(ValueError, match="no Ray answers there"):
        require_answering("127.0.0.1:99999", seconds=5)


def test_where_jobs_are_submitted_is_no_ray_to_join() -> None:
    with pytest.raises(ValueError, match="`ray job submit` sends jobs to"):
        require_answering("http://127.0.0.1:8265")


def test_where_somebody_listens_ray_may_see_to_the_rest() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        require_answering(f"127.0.0.1:{server.getsockname()[1]}")


@pytest.mark.parametrize("address", ["local", "auto"])
def test_names_that_ray_itself_resolves_are_left_to_it(address: str) -> None:
    require_answering(address)


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
@pytest.mark.parametrize("scheme", ["", "http://", "https://"])
def test_a_storage_that_nobody_serves_is_told_where_an_option_names_some(
    name: str, scheme: str, free: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for other in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(name, where := f"{scheme}127.0.0.1:{free}")
    for values in (["a", "s3://bucket/key"], [3, None, ["a", "s3://bucket/key"]], [[["en", "s3://bucket/key"]]]):
        with pytest.raises(ValueError, match=f"{name} is {where}, and no storage answers"):
            require_storage(values, seconds=5)
    require_storage(["a", ["b"], 1, None])  # nothing of these is asked there


def test_a_storage_that_is_there_or_is_amazons_is_left_to_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", *address.PROXIES):
        monkeypatch.delenv(name, raising=False)
    for answer in (None, OSError("no route")):
        with monkeypatch.context() as patch:
            patch.setattr(address, "_unheard", lambda *where, found=answer: found)
            require_storage(["s3://bucket/key"])
        said = capsys.readouterr().out
        assert ("if the storage is not Amazon's, set AWS_ENDPOINT_URL" in said) == (answer is not None)
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.getsockname()[1]}/path")
        require_storage(["s3://bucket/key"])
