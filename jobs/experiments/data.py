"""What an experiment reads: the source's sentences, the tests, and training sets that labels are taken from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jobs.experiments.claim import facts
from jobs.experiments.job import Job
from jobs.scoring.result import Test
from metaner_core.data import corpora
from metaner_core.data.columns import Sentence
from metaner_core.data.sentences import drawn
from metaner_core.encoders.source import require_source
from metaner_core.settings import SAME


@dataclass(frozen=True)
class Data:
    """All that an experiment reads. targets: training sets by test, where the grid takes a share of them."""

    train: Sequence[Sentence]
    dev: Sequence[Sentence]
    tests: Mapping[str, Test]
    targets: Mapping[str, Sequence[Sentence]]

    def facts(self, job: Job) -> dict[str, Any]:
        how = {"engine": job.config.engine, "precision": job.config.precision}
        return facts(job.grid, self.train, self.dev, self.tests, how, self.targets)

    def share(self, test: str, share: float, seed: int) -> list[Sentence]:
        """The sentences of a test's training set whose labels are used."""
        return drawn(self.targets[test], share, seed)


def read(job: Job) -> Data:
    """Raises FileNotFoundError or ValueError for a corpus or an encoder that is not there or not as it should be."""
    grid = job.grid
    retrieval = {variant.settings(0, grid.types).retrieval_encoder for variant in grid.variants}
    for encoder in {*grid.encoders, *retrieval} - {SAME}:
        require_source(encoder)
    train, dev = (corpora.load(grid.source, split, data=job.data) for split in ("train", "dev"))
    tests = {
        name: Test(
            name=name,
            sentences=corpora.load(name, grid.split, data=job.data)[: grid.limit],
            types=tuple(t for t in corpora.CORPORA[name].types if t in grid.types),
        )
        for name in grid.tests
    }
    targets = {name: corpora.load(name, "train", data=job.data) for name in grid.targets if any(grid.shares)}
    return Data(train, dev, tests, targets)
