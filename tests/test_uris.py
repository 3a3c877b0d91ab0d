"""Names of places: what is local, what is S3, what is refused."""

from pathlib import Path

import pytest

from metaner_core import storage


@pytest.mark.parametrize("uri", ["file:///tmp/a%20b", "file:/tmp/a%20b", "file://localhost/tmp/a%20b", "/tmp/a b"])
def test_a_file_uri_is_a_local_path(uri: str) -> None:
    assert storage.absolute(uri) == "/tmp/a b"
    assert not storage.is_remote(storage.absolute(uri))


def test_it_reads_and_writes_there(tmp_path: Path) -> None:
    storage.write_whole(f"file://{tmp_path}/x/a.txt", b"1")
    assert storage.read_bytes(f"file://{tmp_path}/x/a.txt") == b"1"
    assert storage.list_files(f"file://{tmp_path}/x") == [f"{tmp_path}/x/a.txt"]
    with storage.local_copy(f"file://{tmp_path}/x") as folder:
        assert folder == tmp_path / "x"


@pytest.mark.parametrize("uri", ["s3a://b/x", "gs://b/x", "S3://b/x", "hdfs://h/x", "https://h/x", "s3:/b/x", "az:/x"])
def test_any_other_scheme_is_refused_by_name(uri: str) -> None:
    for call in (storage.absolute, storage.filesystem, storage.exists, storage.list_files, storage.read_bytes):
        with pytest.raises(ValueError, match=rf"^{uri}: {uri.partition(':')[0]}: is not supported; give a local path"):
            call(uri)
    with pytest.raises(ValueError, match="is not supported"):
        storage.write_whole(uri, b"x")
    assert not Path(uri).exists()


@pytest.mark.parametrize("uri", ["file://host/x", "file://", "s3://", "s3:///key"])
def test_a_uri_that_names_nothing_here_is_refused(uri: str) -> None:
    with pytest.raises(ValueError, match=r"a file of this machine|names no bucket"):
        storage.absolute(uri)


@pytest.mark.parametrize("path", ["a:b", "./s3a:/x", "C:/x", "a/b://c"])
def test_a_path_with_a_colon_is_a_path(path: str) -> None:
    assert storage.absolute(path) == str(Path.cwd() / path)
