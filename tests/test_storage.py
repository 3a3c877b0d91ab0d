"""Local paths and s3:// behave alike."""

import gzip
import time
from pathlib import Path

import pytest

from metaner_core import storage


@pytest.fixture(params=["local", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return request.getfixturevalue("s3") if request.param == "s3" else str(tmp_path / "place")


def test_what_is_written_is_read(place: str) -> None:
    storage.write_bytes(f"{place}/a/b.txt", "größe".encode())
    assert storage.read_bytes(f"{place}/a/b.txt").decode() == "größe"


def test_files_are_listed_by_their_uris(place: str) -> None:
    for name in ("b/2.txt", "a.txt", "b/1.txt"):
        storage.write_bytes(f"{place}/{name}", b"x")
    assert storage.list_files(place) == [f"{place}/{name}" for name in ("a.txt", "b/1.txt", "b/2.txt")]


def test_a_folder_that_is_not_there_has_no_files(place: str) -> None:
    assert storage.list_files(f"{place}/nothing") == []
    assert not storage.exists(f"{place}/nothing")


def test_a_missing_file_is_named(place: str) -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing\.txt: there is no such file"):
        storage.read_bytes(f"{place}/nothing.txt")


def test_a_used_place_is_refused(place: str) -> None:
    storage.require_unused(f"{place}/out", "run")
    storage.write_bytes(f"{place}/out/file", b"x")
    with pytest.raises(FileExistsError, match="a run is never overwritten"):
        storage.require_unused(f"{place}/out", "run")


def test_a_file_in_the_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(FileExistsError, match="never overwritten"):
        storage.require_unused(str(tmp_path / "out"), "run")


def test_a_folder_is_published_and_copied_back(place: str, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "part.bin").write_bytes(bytes(range(256)))
    (folder / "mark").write_text("whole")
    storage.publish(folder, f"{place}/copy", last="mark")
    with storage.local_copy(f"{place}/copy") as copy:
        found = {p.relative_to(copy).as_posix(): p.read_bytes() for p in copy.rglob("*") if p.is_file()}
    assert found == {"deep/part.bin": bytes(range(256)), "mark": b"whole"}


def test_the_mark_is_published_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "from").mkdir()
    for name in ("a-mark", "b", "z"):
        (tmp_path / "from" / name).write_text(name)
    order: list[str] = []
    monkeypatch.setattr(storage.shutil, "copyfile", lambda source, target: order.append(source.name))
    storage.publish(tmp_path / "from", str(tmp_path / "to"), last="a-mark")
    assert order == ["b", "z", "a-mark"]


def test_a_run_stopped_while_it_publishes_may_start_over_and_no_other(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "from").mkdir()
    (tmp_path / "from" / "mark").write_text("whole")
    with monkeypatch.context() as patch:
        patch.setattr(storage, "delete", interrupted)
        with pytest.raises(KeyboardInterrupt):
            storage.publish(tmp_path / "from", f"{place}/out", last="mark", run="mine")
    with pytest.raises(FileExistsError, match="never overwritten"):
        storage.require_unused(f"{place}/out", "bundle", run="another")
    storage.require_unused(f"{place}/out", "bundle", run="mine")
    storage.publish(tmp_path / "from", f"{place}/out", last="mark", run="mine")
    assert storage.list_files(f"{place}/out") == [f"{place}/out/mark"]
    with pytest.raises(FileExistsError, match="never overwritten"):
        storage.require_unused(f"{place}/out", "bundle", run="mine")


@pytest.mark.parametrize("half", ["", "mi"])
def test_a_run_stopped_while_it_wrote_its_mark_may_start_over(half: str, place: str) -> None:
    storage.write_bytes(f"{place}/out/{storage.UNFINISHED}", half.encode())
    storage.require_unused(f"{place}/out", "bundle", run="mine")
    with pytest.raises(FileExistsError, match="never overwritten"):
        storage.require_unused(f"{place}/out", "bundle")


def interrupted(uri: str) -> None:
    raise KeyboardInterrupt


def test_an_empty_prefix_cannot_be_copied(place: str) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is (nothing below|no such)"), storage.local_copy(f"{place}/no"):
        pass


def test_a_whole_file_replaces_another_and_leaves_nothing_else(place: str) -> None:
    for content in (b"first", b"second" * 100_000):
        storage.write_whole(f"{place}/a/b", content)
        assert storage.read_bytes(f"{place}/a/b") == content
    assert storage.list_files(place) == [f"{place}/a/b"]


def test_a_file_that_cannot_be_written_whole_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage.write_whole(str(tmp_path / "a"), b"before")

    def full(_: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(storage.os, "fsync", full)
    with pytest.raises(OSError, match="no space left"):
        storage.write_whole(str(tmp_path / "a"), b"after")
    assert (tmp_path / "a").read_bytes() == b"before"


def test_what_is_left_of_a_file_that_was_being_written_takes_no_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ended(_: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(storage.os, "fsync", ended)
        with pytest.raises(KeyboardInterrupt):
            storage.write_whole(str(tmp_path / "out" / "grid.json"), b"{}")
    assert len(storage.list_files(str(tmp_path / "out"))) == 1
    storage.require_unused(str(tmp_path / "out"), "grid of cells")


def test_files_are_listed_with_size_and_time(place: str) -> None:
    before = int(time.time()) - 2
    storage.write_bytes(f"{place}/a", b"xyz")
    for uri in (place, f"{place}/a"):
        (file,) = storage.listed(uri)
        assert (file.uri, file.size) == (f"{place}/a", 3)
        assert before <= file.modified <= time.time() + 2


def test_what_is_written_is_what_was_given_whatever_its_name(tmp_path: Path) -> None:
    packed = gzip.compress(b"Ana")
    storage.write_bytes(str(tmp_path / "a.gz"), packed)
    assert (tmp_path / "a.gz").read_bytes() == packed
