"""Cached folders: made once, found while whole, made again when not."""

import multiprocessing
import time

import pytest

from metaner_core.encoders import cache

MADE_FROM = {"converter": 1, "sha256": "abc"}


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("METANER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def build(folder):
    (folder / "weights").write_bytes(b"1234")
    (folder / "config").write_text("{}")
    with (folder.parent.parent / "built").open("a") as log:
        log.write("once\n")


def built(place):
    return (place.parent / "built").read_text().count("once")


def test_built_once_then_found(place):
    assert cache.find("it", MADE_FROM) is None
    made = cache.make("it", MADE_FROM, build)
    assert made == place / "it"
    assert cache.find("it", MADE_FROM) == cache.make("it", MADE_FROM, build) == made
    assert built(place) == 1
    assert sorted(p.name for p in made.iterdir()) == ["config", "made.json", "weights"]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda folder: (folder / "made.json").unlink(),  # a copy that was stopped
        lambda folder: (folder / "made.json").write_text("[1]"),
        lambda folder: (folder / "made.json").write_text(
            '{"made_from": {"converter": 1, "sha256": "abc"}, "files": {}}'
        ),
        lambda folder: (folder / "weights").unlink(),
        lambda folder: (folder / "weights").write_bytes(b"12"),
        lambda folder: (folder / "weights").write_bytes(b"1235"),
        lambda folder: (folder / "pytorch_model.bin").write_bytes(b"not ours"),
    ],
)
def test_folder_that_is_not_whole_is_made_again(place, spoil):
    made = cache.make("it", MADE_FROM, build)
    spoil(made)
    assert cache.find("it", MADE_FROM) is None
    cache.make("it", MADE_FROM, build)
    assert built(place) == 2
    assert (made / "weights").read_bytes() == b"1234"
    assert cache.find("it", MADE_FROM) == made


def test_quick_look_sees_all_but_an_altered_byte(place):
    made = cache.make("it", MADE_FROM, build)
    (made / "weights").write_bytes(b"1235")
    assert cache.find("it", MADE_FROM, hashes=False) == made
    (made / "weights").write_bytes(b"123")
    assert cache.find("it", MADE_FROM, hashes=False) is None


def test_another_versions_folder_is_made_again(place):
    cache.make("it", MADE_FROM, build)
    assert cache.find("it", MADE_FROM | {"converter": 2}) is None
    cache.make("it", MADE_FROM | {"converter": 2}, build)
    assert built(place) == 2
    assert cache.find("it", MADE_FROM) is None


def test_build_that_fails_leaves_no_folder(place):
    def fails(folder):
        build(folder)
        raise ValueError("altered")

    with pytest.raises(ValueError, match=r"^altered$"):
        cache.make("it", MADE_FROM, fails)
    assert [p.name for p in place.iterdir()] == [".it.lock"]


def test_what_an_ended_process_left_is_in_nobodys_way(place):
    (place / ".it.unfinished").mkdir(parents=True)
    (place / ".it.unfinished" / "weights").write_bytes(b"half")
    (place / "it").write_text("a file where the folder goes")
    made = cache.make("it", MADE_FROM, build)
    assert sorted(p.name for p in place.iterdir()) == [".it.lock", "it"]
    assert sorted(p.name for p in made.iterdir()) == ["config", "made.json", "weights"]


def slowly(folder):
    time.sleep(0.3)
    build(folder)


def make_slowly(barrier, results):
    barrier.wait()
    results.put(str(cache.make("it", MADE_FROM, slowly)))


def test_several_processes_at_once_build_once(place):
    spawn = multiprocessing.get_context("spawn")
    barrier, results = spawn.Barrier(3), spawn.Queue()
    processes = [spawn.Process(target=make_slowly, args=(barrier, results)) for _ in range(3)]
    for process in processes:
        process.start()
    found = {results.get(timeout=60) for _ in processes}
    for process in processes:
        process.join()
    assert found == {str(place / "it")}
    assert built(place) == 1


def test_cache_that_cannot_be_written_names_folder_rule_and_remedy(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("METANER_CACHE", str(tmp_path / "file"))
    with pytest.raises(ValueError, match=r"file/it cannot be written .* set METANER_CACHE to a folder"):
        cache.make("it", MADE_FROM, build)


def test_place_is_the_users_cache_unless_named(monkeypatch, tmp_path):
    monkeypatch.delenv("METANER_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.place() == tmp_path / "metaner"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert str(cache.place()) == "/home/somebody/.cache/metaner"
