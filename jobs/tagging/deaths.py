"""Which documents end their workers: kept by the supervisor of a tagging run, from what was in flight at each death."""

from collections import Counter
from dataclasses import dataclass

DEATHS = 2  # of workers that had one document in flight: then it is rejected
MOST_DEATHS = 5  # of workers at one such document, or while they wrote one shard: then the job ends
FEW = 64  # documents in a batch after a larger one was in flight when its worker ended
MOST_FOUND_OUT = 10  # documents that end their workers, besides one in a hundred: then the job ends


@dataclass(frozen=True)
class Care:
    """How to take a shard's documents, by their place in it. few: at most FEW at a time. alone: one by one. rejected:
    not at all."""

    few: frozenset[int] = frozenset()
    alone: frozenset[int] = frozenset()
    rejected: frozenset[int] = frozenset()


class Deaths:
    """Of workers, by shard and place of the documents that they had in flight."""

    def __init__(self) -> None:
        self.all = 0
        self.found_out = 0  # documents that ended their workers
        self._few: dict[str, set[int]] = {}
        self._alone: dict[str, set[int]] = {}
        self._killers: dict[str, Counter[int]] = {}
        self._writing = Counter[str]()

    def care(self, shard: str) -> Care:
        """That the shard needs by now."""
        killers = self._killers.get(shard, Counter())
        rejected = frozenset(at for at, deaths in killers.items() if deaths >= DEATHS)
        few, alone = (frozenset(places.get(shard, ())) for places in (self._few, self._alone))
        return Care(few - alone, alone - rejected, rejected)

    def add(self, shard: str, batch: tuple[int, int] | None, documents: int) -> None:
        """A worker ended. batch: places of what it had in flight, from and to (exclusive); None: it read or wrote.
        documents: that the run has done.

        Raises RuntimeError when that has happened too often for a document to be to blame.
        """
        self.all += 1
        first, last = batch or (0, 0)
        apart = self._alone if last - first <= FEW else self._few
        apart.setdefault(shard, set()).update(range(first, last))
        killers = self._killers.setdefault(shard, Counter())
        if last - first == 1:
            killers[first] += 1
            self._check(killers[first], documents)
        elif batch is None:
            self._writing[shard] += 1
        if self._writing[shard] == MOST_DEATHS or killers[first] == MOST_DEATHS:
            where = f"reading document {first} of it" if last > first else "writing it, or before"
            raise RuntimeError(
                f"shard {shard}: {MOST_DEATHS} workers ended in the middle of it, {where}. If they ran out of memory, "
                "start the job again with fewer --actors for each machine; what is done stays done"
            )

    def _check(self, deaths: int, documents: int) -> None:
        """Raises RuntimeError when too many documents are found to end their workers: then they are not to blame."""
        self.found_out += deaths == DEATHS
        if self.found_out > MOST_FOUND_OUT + documents // 100:
            raise RuntimeError(
                f"{self.found_out} documents in {documents:,} ended their workers: it is the machines rather (no "
                "memory left?). Start the job again with fewer --actors for each; what is done stays done"
            )

    def forget(self, shard: str) -> None:
        """It is done."""
        for places in (self._few, self._alone, self._killers):
            places.pop(shard, None)
