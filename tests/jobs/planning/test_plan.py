"""An input cut into shards, and ids that are given twice."""

import gzip
import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.planning import ids
from jobs.planning.plan import Part, look_through, plan, split
from jobs.planning.shards import Shard, pack
from metaner_core import storage
from metaner_core.reading.files import Stretch, read
from metaner_core.reading.record import Place
from metaner_core.reading.source import Input, Source, find
from tests.support import wet

KB = 1024


def jsonl(folder: Path, **files: list[str]) -> Input:
    """Files of documents with these ids."""
    folder.mkdir(exist_ok=True)
    for name, names in files.items():
        rows = [json.dumps({"id": id_, "text": "x" * 100}) + "\n" for id_ in names]
        (folder / f"{name}.jsonl").write_text("".join(rows))
    return find(Source(uri=str(folder)))


def read_ids(found: Input, shards: list[Shard]) -> list[str]:
    return [document.id for shard in shards for stretch in shard.stretches for document in read(found, stretch)]


@given(st.lists(st.integers(0, 300)), st.integers(1, 200))
def test_packed_stretches_are_all_there_in_order_and_no_neighbours_would_fit_in_one(
    sizes: list[int], most: int
) -> None:
    stretches = [Stretch(n, Place(0, 0, 1), 1, size) for n, size in enumerate(sizes)]
    shards = list(pack(stretches, most))
    assert [stretch for shard in shards for stretch in shard.stretches] == stretches
    assert [shard.number for shard in shards] == list(range(len(shards)))
    assert all(shard.size <= most or len(shard.stretches) == 1 for shard in shards)
    assert all(a.size + b.stretches[0].size > most for a, b in pairwise(shards))


def test_a_shard_survives_its_line() -> None:
    shard = Shard(7, (Stretch(1, Place(5, 6, 7), 8, 9), Stretch(2, Place(0, 0, 1), 3, 4)))
    assert Shard.from_json(shard.to_json()) == shard


def test_parts_hold_every_file_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.planning.plan.PART_BYTES", 10)
    monkeypatch.setattr("jobs.planning.plan.PART_FILES", 3)
    assert list(split([4, 4, 4, 50, 1, 1, 1, 1])) == [
        Part(0, 0, 2),
        Part(1, 2, 3),
        Part(2, 3, 4),
        Part(3, 4, 7),
        Part(4, 7, 8),
    ]


@pytest.mark.usefixtures("ray_local")
class TestOnRay:
    def test_every_document_is_in_one_shard(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("jobs.planning.plan.PART_FILES", 2)
        given = {f"f{n}": [f"{n}-{at}" for at in range(n * 7)] for n in range(5)}
        found = jsonl(tmp_path / "in", **given)
        shards = plan(found, str(tmp_path / "out"), shard_bytes=2 * KB)
        assert read_ids(found, shards) == [id_ for names in given.values() for id_ in names]
        assert all(shard.documents <= 8 for shard in shards)
        assert plan(found, str(tmp_path / "out"), shard_bytes=999) == shards  # what is planned stays

    @pytest.mark.parametrize("limit", [1, 6, 100])
    def test_a_limit_takes_the_first_documents(self, tmp_path: Path, limit: int) -> None:
        found = jsonl(tmp_path / "in", **{name: [f"{name}{n}" for n in range(4)] for name in "abc"})
        shards = plan(found, str(tmp_path / "out"), shard_bytes=KB, limit=limit)
        assert read_ids(found, shards) == [f"{name}{n}" for name in "abc" for n in range(4)][:limit]

    def test_ids_given_twice_are_named_with_both_places(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("jobs.planning.plan.PART_FILES", 1)
        monkeypatch.setattr("jobs.planning.ids.BUCKET", 5)
        found = jsonl(tmp_path / "in", a=["p", "q", "r"], b=["s", "t"], c=["u", "q", "v", "w"])
        with pytest.raises(ValueError, match=r"1 are given again:\n  'q' in a.jsonl:2 and c.jsonl:2\n.*--id-column"):
            plan(found, str(tmp_path / "out"), shard_bytes=300)
        assert not storage.exists(str(tmp_path / "out" / "plan" / "shards.jsonl"))

    def test_an_input_without_documents_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "a.txt").touch()
        with pytest.raises(ValueError, match="1 files hold no document"):
            plan(find(Source(uri=str(tmp_path / "a.txt"))), str(tmp_path / "out"), shard_bytes=KB)


@pytest.mark.parametrize("buckets", [1, 7, 256])
def test_what_is_twice_is_found_in_any_number_of_buckets(tmp_path: Path, buckets: int) -> None:
    chance = np.random.default_rng(0)
    parts = [[str(n) for n in chance.integers(0, 3000, 500)] for _ in range(4)]
    uris = []
    for n, part in enumerate(parts):
        digests = ids.Digests()
        for id_ in part:
            digests.add(id_)
        uris.append(str(tmp_path / f"{n}.ids"))
        storage.write_whole(uris[-1], digests.to_bytes())
    edges = [256 * n // buckets for n in range(buckets + 1)]
    found = [ids.twice(uris, low, high) for low, high in pairwise(edges)]
    every = [id_ for part in parts for id_ in part]
    assert sum(n for n, _ in found) == len(every) - len(set(every))
    for (part, at), (other, there) in (pair for _, pairs in found for pair in pairs):
        assert parts[part][at] == parts[other][there]
        assert (part, at) < (other, there)


def test_a_part_looked_through_before_is_not_read_again(tmp_path: Path) -> None:
    found = jsonl(tmp_path / "in", a=["p", "q"])
    assert look_through(found, str(tmp_path / "out"), Part(0, 0, 1), KB, None) == 2
    (tmp_path / "in" / "a.jsonl").unlink()
    assert look_through(found, str(tmp_path / "out"), Part(0, 0, 1), KB, None) == 2


def test_wet_ids_are_checked_and_those_made_up_of_places_are_not(tmp_path: Path) -> None:
    wet.write(tmp_path / "a.warc.wet.gz", [("same", b"x"), ("same", b"y")])
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(b'{"text": "x"}\n'))
    assert find(Source(uri=str(tmp_path / "a.warc.wet.gz"))).gives_ids
    assert not find(Source(uri=str(tmp_path / "b.jsonl.gz"))).gives_ids
