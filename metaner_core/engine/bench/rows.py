"""The rows of the benchmark's tables: what each of them calls."""

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
from transformers import TokenClassificationPipeline

from metaner_core.engine.adapting import BatchedEngine
from metaner_core.engine.bench.measure import Todo, wait
from metaner_core.engine.bench.workload import Workload
from metaner_core.engine.meta_training import in_chunks
from metaner_core.method.meta_train import MetaTrainer
from metaner_core.method.tasks import Task, Tasks
from metaner_core.model.encoding import Encoded

GROUPS = (1, 4, 16)  # sentences for each distinct support set
REFERENCE = "reference loop"
THIN, SCALED = "thin", "thin and scaled"  # rows of what adapts without forming gradients: sgd, scaled_sgd
KINDS = {"Adam": "adam", THIN: "sgd", SCALED: "scaled_sgd"}
PIPELINE = "transformers.pipeline"  # what one would take instead for tagging without adaptation; makes subwords too
MAKING = "plain tagging, making subwords too"
RETRIEVAL = "retrieval alone, subwords at hand"
ALL = "all of it"
CPU_PADDED, GPU_PADDED = 16, 256  # sentences in one of the pipeline's batches
T = TypeVar("T")


@dataclass(frozen=True)
class Size:
    """How much work a measurement of each kind is: sentences through the loop and through the engine, tasks likewise,
    and for tables of all of it sentences as they come."""

    loop: int
    engine: int
    loop_tasks: int
    tasks: int
    whole: tuple[int, ...]


SIZES = {
    "embedded": Size(32, 512, 32, 32, (1_000,)),
    "e5-small": Size(8, 96, 16, 16, (1_000,)),
    "bert-base": Size(4, 48, 16, 16, (300,)),
}
CPU_WAVES, GPU_WAVES = (500, 2_000, 6_000, 20_000, 60_000), (6_000, 20_000, 60_000, 200_000, 600_000)
GPU_SIZES = {
    "embedded": Size(64, 4096, 16, 64, (1_000, 10_000)),
    "e5-small": Size(32, 2048, 8, 32, (1_000, 10_000)),
    "bert-base": Size(32, 1024, 8, 32, (1_000, 10_000)),
}


def measurements(work: Workload, size: Size) -> Todo:
    """The engine's parts, each with support sets and subwords at hand."""
    few, many = work.distinct(size.loop), work.distinct(size.engine)
    alone, nearest = work.sets(size.loop, 1), work.nearest(size.engine)
    found: dict[str, tuple[str, float, Callable[[], Any]]] = {
        "plain tagging": ("sentence", len(many), lambda: work.batched.plain(many)),
        MAKING: ("sentence", len(many), partial(_made_and_tagged, work, many)),
        PIPELINE: (
            "sentence",
            len(many),
            partial(_padded, work.pipeline(), sorted(_again(work.texts, len(many)), key=len)),
        ),
        REFERENCE: ("sentence", len(few), lambda: work.reference.adapted(few, alone)),
    }
    engines = {"batched": work.batched, THIN: work.adapting("sgd"), SCALED: work.adapting("scaled_sgd")}
    for made, engine in engines.items():
        for group in GROUPS if made != SCALED else ():
            name = f"{made}, nothing shared" if group == 1 else f"{made}, {group} sentences a support set"
            found[name] = ("sentence", len(many), partial(engine.adapted, many, work.sets(size.engine, group)))
        found[f"{made}, nearest neighbours"] = ("sentence", len(many), partial(engine.adapted, many, nearest))
    for name, together, count in (
        ("meta-training, reference loop", None, size.loop_tasks),
        ("meta-training, batched", in_chunks, size.tasks),
    ):
        tasks = Tasks(work.support, dataclasses.replace(work.reference.settings, tasks_per_update=count)).of_update(0)
        trainer = MetaTrainer(work.batched, work.support, [], together=together)
        found[name] = ("meta-update", count / 32, partial(_gradients, trainer, tasks))
    return found


def _again(texts: Sequence[T], count: int) -> list[T]:
    """So many of the texts, from the first one on again where they end."""
    return [texts[n % len(texts)] for n in range(count)]


def _made_and_tagged(work: Workload, many: Sequence[Encoded]) -> None:
    for words in _again(work.words, len(many)):
        work.read.encode(words)
    work.batched.plain(many)  # which are distinct, where the words may be there twice


def _padded(tagger: TokenClassificationPipeline, texts: Sequence[str]) -> None:
    """texts: in the order of their lengths, so that there is little padding."""
    tagger(list(texts), batch_size=CPU_PADDED if tagger.device.type == "cpu" else GPU_PADDED)


def _gradients(trainer: MetaTrainer, tasks: Sequence[Task]) -> None:
    for _ in trainer.gradients(tasks, 1e-4):
        pass


def whole(work: Workload, count: int) -> Todo:
    """What a user waits for: so many sentences as they come, from words to predictions, neighbours as they are."""
    words = work.as_they_come(count)
    inputs = [work.read(sentence) for sentence in words]
    found: dict[str, tuple[str, float, Callable[[], Any]]] = {
        MAKING: ("sentence", count, partial(_plain, work, words)),
        RETRIEVAL: ("sentence", count, lambda: work.retrieval.support([s.retrieval for s in inputs], work.index)),
    }
    for name, kind in KINDS.items():
        call = partial(_all_of_it, work, work.adapting(kind), words)
        found[f"{ALL}, {name}"] = ("sentence", count, call)
    return found


def sharing(work: Workload, count: int) -> str:
    """How many support sets and source sentences those sentences have."""
    inputs = [work.read(sentence) for sentence in work.as_they_come(count)]
    ids = np.sort(work.retrieval.support([s.retrieval for s in inputs], work.index)[0], axis=1)
    sets, sources = len(np.unique(ids, axis=0)), len(np.unique(ids))
    return f"{count:,} sentences as they come: {sets:,} support sets of {sources:,} source sentences"


def _plain(work: Workload, words: Sequence[Sequence[str]]) -> None:
    work.batched.plain([work.read(sentence).tagging for sentence in words])


def _all_of_it(work: Workload, engine: BatchedEngine, words: Sequence[Sequence[str]]) -> None:
    inputs = [work.read(sentence) for sentence in words]
    bottoms = engine.bottoms(work.retrieval)
    support = work.retrieval.support([sentence.retrieval for sentence in inputs], work.index, bottoms)[0]
    engine.adapted([sentence.tagging for sentence in inputs], support, bottoms=bottoms)


def by_wave(work: Workload, size: Size, budgets: Sequence[int]) -> dict[int, float]:
    """Sentences a second for budgets of tokens a wave, nearest neighbours' support sets."""
    many = work.distinct(size.engine)
    nearest = work.nearest(size.engine)
    found = {}
    for budget in budgets:
        engine = dataclasses.replace(work.batched, tokens=budget)
        started = time.perf_counter()
        engine.adapted(many, nearest)
        wait()
        found[budget] = len(many) / (time.perf_counter() - started)
    return found
