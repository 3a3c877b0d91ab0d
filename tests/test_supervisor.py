"""Who has what in flight, and which document ended its worker, without Ray: the supervisor is a plain object."""

import pytest

from jobs.supervisor import DEATHS, MOST_DEATHS, Care, Supervisor


def tag(supervisor: Supervisor, killer: int, documents: int = 10, batch: int = 4) -> tuple[list[tuple[int, int]], Care]:
    """Let workers take a shard until one comes to its end; `killer` ends them. All batches, and the last one's care."""
    begun = []
    for worker in range(100):
        care = supervisor.start("s", f"w{worker}")
        at = 0
        while at < documents:
            apart = care.alone | care.rejected
            last = at + 1 if at in apart else min([at + batch, documents, *(n for n in apart if n > at)])
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
    assert supervisor.deaths == 1 + DEATHS
    assert supervisor.state()["counts"] == {"tagged": 10}


def test_a_worker_that_dies_once_leaves_no_document_rejected() -> None:
    supervisor = Supervisor()
    supervisor.start("s", "a")
    supervisor.begin("s", 4, 5, {})
    assert supervisor.start("s", "b") == Care(alone=frozenset({4}), rejected=frozenset())


def test_another_shard_is_another_matter() -> None:
    supervisor = Supervisor()
    supervisor.start("s", "a")
    supervisor.begin("s", 0, 4, {})
    assert supervisor.start("t", "b") == Care()
    assert supervisor.deaths == 0


def test_counts_of_a_shard_that_is_begun_again_are_not_added_twice() -> None:
    supervisor = Supervisor()
    for worker in "ab":
        supervisor.start("s", worker)
        supervisor.begin("s", 0, 4, {})
        supervisor.begin("s", 4, 8, {"tagged": 4, "sentences": 9})
    assert supervisor.state()["counts"] == {"tagged": 4, "sentences": 9}
    supervisor.finish("s", {"tagged": 7, "empty": 1, "sentences": 12})
    assert supervisor.state()["counts"] == {"tagged": 7, "empty": 1, "sentences": 12}
    assert (supervisor.state()["shards"], supervisor.running) == (1, {})


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
