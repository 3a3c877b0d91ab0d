"""How fast a run went, over time, from when each of its shards was tagged."""

from collections.abc import Iterable
from dataclasses import dataclass

WIDTHS = (
    1,
    2,
    5,
    10,
    15,
    30,
    60,
    120,
    300,
    600,
    900,
    1800,
    3600,
    7200,
    14400,
    28800,
    86400,
)  # seconds, whole days after


@dataclass(frozen=True)
class Shard:
    """What tagging one shard took. started, finished: Unix time in seconds."""

    name: str
    started: float
    finished: float
    documents: int
    sentences: int


@dataclass(frozen=True)
class Span:
    """A stretch of the run's time and what was tagged in it, by all actors together. start: Unix time in seconds."""

    start: float
    seconds: float
    documents: float
    sentences: float

    @property
    def rate(self) -> float:
        """Sentences a second."""
        return self.sentences / self.seconds


def over_time(shards: Iterable[Shard], *, most: int = 60) -> list[Span]:
    """The time from the first shard's start to the last one's end, in at most `most` spans, the idle ones too.

    What a shard tagged is spread evenly over its time, which is all that is known of it.
    """
    shards = list(shards)
    if not shards:
        return []
    first = min(shard.started for shard in shards)
    last = max(max(shard.finished for shard in shards), first + 1e-3)
    width = _width(last - first, most)
    n = max(1, -int((first - last) // width))
    documents, sentences = [0.0] * n, [0.0] * n
    for shard in shards:
        for i, part in _parts(shard, first, width, n):
            documents[i] += part * shard.documents
            sentences[i] += part * shard.sentences
    starts = [first + i * width for i in range(n)]
    return [Span(a, min(width, last - a), d, s) for a, d, s in zip(starts, documents, sentences, strict=True)]


def _width(seconds: float, most: int) -> float:
    day = WIDTHS[-1]
    return next((w for w in WIDTHS if seconds <= w * most), -(-seconds // (most * day)) * day)


def _parts(shard: Shard, first: float, width: float, n: int) -> Iterable[tuple[int, float]]:
    """The spans that a shard lies in, and how much of it lies there; 1 in all."""
    a, b = (shard.started - first) / width, (shard.finished - first) / width
    if b - a < 1e-9:
        return [(min(int(a), n - 1), 1.0)]
    spans = range(int(a), min(int(b), n - 1) + 1)
    return [(i, (min(b, i + 1) - max(a, i)) / (b - a)) for i in spans]
