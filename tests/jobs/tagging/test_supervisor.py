"""Who has what in flight, and which document ended its worker, without Ray: the supervisor is a plain object."""

import asyncio

import pytest

from jobs.tagging.deaths import DEATHS, FEW, MOST_DEATHS, MOST_FOUND_OUT, Care
from jobs.tagging.supervisor import READ, ROOM_SECONDS, TAG, Supervisor


def tag(supervisor: Supervisor, killer: int, documents: int = 10, batch: int = 4) -> tuple[list[tuple[int, int]], Care]:
    """Let workers take a shard until one comes to its end; `killer` ends them. All batches, and the last one's care."""
    begun = []
    for worker in range(100):
        care = supervisor.start("s", f"w{worker}")
        at = 0
        while at < documents:
            apart = care.alone | care.rejected
            most, others = (min(FEW, batch), apart) if at in care.few else (batch, apart | care.few)
            last = at + 1 if at in apart else min([at + most, documents, *(n for n in others if n > at)])
            supervisor.begin("s", at, last, {})
            begun.append((at, last))
            if at <= killer < last and killer not in care.rejected:
                break
            at = last
        else:
            supervisor.write("s", {"tagged": documents})
            supervisor.finish("s", {"tagged": documents})
            return begun, care
    raise AssertionError("it never came to its end")


def test_a_document_that_ends_its_workers_is_found_and_rejected() -> None:
    supervisor = Supervisor()
    begun, care = tag(supervisor, killer=6)
    assert care == Care(alone=frozenset({4, 5, 7}), rejected=frozenset({6}))
    assert begun.count((4, 8)) == 1
    assert begun.count((6, 7)) == DEATHS + 1  # the last time to reject it
    assert supervisor.deaths.all == 1 + DEATHS
    assert supervisor.state()["counts"] == {"tagged": 10}


def test_one_of_thousands_is_found_in_three_strides() -> None:
    begun, care = tag(supervisor := Supervisor(), killer=3_000, documents=9_000, batch=4_000)
    assert care.rejected == {3_000}
    assert care.few == frozenset(range(4_000)) - frozenset(range(2_944, 3_008))
    assert care.alone == frozenset(range(2_944, 3_008)) - {3_000}
    assert supervisor.deaths.all == 1 + 1 + DEATHS
    assert begun.count((4_032, 8_032)) == 1  # past what was in flight as before


def test_sentences_ahead_are_heard_of_and_counted_until_the_batch_is_done() -> None:
    supervisor = Supervisor()
    supervisor.start("s", "a")
    assert not supervisor.state()["begun"]
    supervisor.begin("s", 0, 4, {})
    assert supervisor.state()["begun"], "though nothing is counted"
    supervisor.begin("s", 0, 4, {"sentences": 5})
    supervisor.heard -= 100
    supervisor.work("s", 7)
    assert supervisor.state()["silent"] < 50
    assert (supervisor.state()["in_flight"]["sentences"], supervisor.state()["ahead"]) == (12, 7)
    supervisor.begin("s", 4, 8, {"sentences": 14})
    assert supervisor.state()["in_flight"]["sentences"] == 14


def test_a_worker_that_dies_once_leaves_no_document_rejected() -> None:
    supervisor = Supervisor()
    supervisor.start("s", "a")
    supervisor.begin("s", 4, 5, {})
    assert supervisor.start("s", "b") == Care(alone=frozenset({4}), rejected=frozenset())


def test_actors_that_end_as_they_load_the_bundle_end_the_job() -> None:
    supervisor = Supervisor()
    for _ in range(3):  # as many as there should be; one has loaded it, another one comes in its place later
        supervisor.enter(3)
    supervisor.loaded()
    for _ in range(MOST_DEATHS):
        supervisor.enter(3)
    with pytest.raises(RuntimeError, match=f"{MOST_DEATHS} actors ended while they loaded the bundle.*fewer --actors"):
        supervisor.enter(3)
    assert supervisor.beginning()[0] is False
    assert "fewer --actors" in (supervisor.beginning()[1] or "")


def test_those_that_ended_before_one_has_loaded_the_bundle_are_forgotten() -> None:
    """In a pool that grows for days machines are lost at any moment."""
    supervisor = Supervisor()
    for _ in range(20):
        supervisor.enter(3)  # ends with its machine
        supervisor.enter(3)
        supervisor.loaded()
    assert supervisor.beginning() == (False, None)


def test_another_shard_is_another_matter() -> None:
    supervisor = Supervisor()
    supervisor.start("s", "a")
    supervisor.begin("s", 0, 4, {})
    assert supervisor.start("t", "b") == Care()
    assert supervisor.deaths.all == 0


def test_counts_of_a_shard_that_is_begun_again_are_not_added_twice() -> None:
    supervisor = Supervisor()
    for worker in "ab":
        supervisor.start("s", worker)
        supervisor.begin("s", 0, 4, {})
        supervisor.begin("s", 4, 8, {"tagged": 4, "sentences": 9})
    assert (supervisor.state()["counts"], supervisor.state()["in_flight"]) == ({}, {"tagged": 4, "sentences": 9})
    supervisor.finish("s", {"tagged": 7, "empty": 1, "sentences": 12})
    assert supervisor.state()["counts"] == {"tagged": 7, "empty": 1, "sentences": 12}
    assert (supervisor.state()["shards"], supervisor.state()["in_flight"]) == (1, {})


@pytest.mark.parametrize(("batch", "where"), [(None, "writing it"), ((3, 4), "reading document 3")])
def test_a_shard_that_ends_every_worker_ends_the_job(batch: tuple[int, int] | None, where: str) -> None:
    supervisor = Supervisor()
    for worker in range(MOST_DEATHS):
        supervisor.start("s", f"w{worker}")
        if batch:
            supervisor.begin("s", *batch, {})
    with pytest.raises(RuntimeError, match=f"shard s: {MOST_DEATHS} workers ended.*{where}"):
        supervisor.start("s", "one more")


def test_what_is_in_flight_is_named() -> None:
    supervisor = Supervisor()
    supervisor.start("s", "process 7 of node n")
    supervisor.begin("s", 16, 32, {})
    (told,) = supervisor.in_flight()
    assert told.startswith("shard s, documents 16 to 31 of it, on process 7 of node n, for ")
    supervisor.write("s", {})
    (told,) = supervisor.in_flight()
    assert told.startswith("shard s, being read or written, on process 7 of node n, for ")


def test_too_many_documents_that_end_their_workers_are_not_to_blame() -> None:
    supervisor = Supervisor()

    def found_out(shard: int) -> None:
        for worker in range(DEATHS + 1):
            supervisor.start(f"s{shard}", f"w{worker}")
            supervisor.begin(f"s{shard}", 0, 1, {})

    for shard in range(MOST_FOUND_OUT):
        found_out(shard)
    with pytest.raises(RuntimeError, match="11 documents in 0 ended their workers: it is the machines"):
        found_out(MOST_FOUND_OUT)


def test_one_that_begins_anew_takes_up_what_it_is_told() -> None:
    supervisor = Supervisor()
    supervisor.begin("s", 4, 8, {"tagged": 4})
    assert supervisor.state()["in_flight"] == {"tagged": 4}
    supervisor.finish("t", {"tagged": 5})
    assert (supervisor.state()["shards"], supervisor.state()["counts"]) == (1, {"tagged": 5})
    assert supervisor.start("s", "another").alone == {4, 5, 6, 7}


def test_a_worker_that_asks_again_has_not_died() -> None:
    supervisor = Supervisor()
    for _ in range(2):
        assert supervisor.start("s", "w") == Care()
    assert supervisor.deaths.all == 0


def test_readers_get_only_so_far_ahead_of_the_actors() -> None:
    supervisor = Supervisor()

    async def begun(*shards: str) -> list[str]:
        """Which of the shards' readers may begin before long."""
        asked = {shard: asyncio.create_task(supervisor.room(shard, 2)) for shard in shards}
        await asyncio.wait(asked.values(), timeout=3 * ROOM_SECONDS)
        may = [shard for shard, task in asked.items() if task.done()]
        for task in asked.values():
            task.cancel()
        return may

    async def one_after_another() -> None:
        assert await begun("a", "b", "c") == ["a", "b"]
        assert await begun("b", "c") == ["b"]  # it got lost, and is read again
        supervisor.start("a", "an actor", None, TAG)
        assert await begun("c", "d") == ["c"]
        supervisor.end()
        with pytest.raises(RuntimeError, match="the run was ended"):
            await supervisor.room("d", 2)

    asyncio.run(one_after_another())


def test_a_shard_that_is_passed_on_is_nobody_s_until_the_next_begins_it() -> None:
    supervisor = Supervisor()
    supervisor.start("s", "a reader", None, READ)
    supervisor.begin("s", 0, 4, {})
    assert "documents 0 to 3 of it, being read, on a reader" in supervisor.in_flight()[0]
    supervisor.pass_on("s", {"tagged": 3})
    assert supervisor.in_flight() == []
    assert supervisor.start("s", "an actor", None, TAG) == Care()
    assert (supervisor.deaths.all, supervisor.state()["in_flight"]) == (0, {"tagged": 3})


def test_a_run_that_was_ended_is_begun_by_nobody() -> None:
    supervisor = Supervisor()
    supervisor.end()
    with pytest.raises(RuntimeError, match="the run was ended"):
        supervisor.start("s", "a")
