"""The loop that distils: data parallel, resumable, without Ray.

Every worker sees the whole of a step's sentences and learns its share of them; gradients are added up. The number of
workers leaves its trace in the rounding only.
"""

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import torch

from metaner_core import workers
from metaner_core.distilling.loss import Lesson, lessons_loss, one_hot
from metaner_core.distilling.nearest import Nearest
from metaner_core.distilling.settings import Distillation
from metaner_core.distilling.stream import Place, Sentence, Stream
from metaner_core.method import optim
from metaner_core.method.adapt import Engine, by_length, restore
from metaner_core.method.checkpoint import Checkpoints, TrainingState
from metaner_core.method.shared import Gradients, score_together, step_together
from metaner_core.model.encoding import Encoded, Encoding, collate

GOLD, DROPOUT = 24, 25  # streams of random numbers, beside those of `stream`
CPU_SUBWORDS, GPU_SUBWORDS = 2**11, 2**13  # that go forward and backward together, at most


@dataclass
class Distiller:
    """Teaches `engine.tagger` in place. stream: makes the stream of tagged sentences from a place in it. gold, dev:
    English sentences with labels. rate: the highest. on_step: called after every step, with the seconds since the
    start. nearest: says which words of tagged sentences teach; None: all."""

    engine: Engine
    encode: Encoding
    settings: Distillation
    stream: Callable[[Place | None], Stream]
    gold: Sequence[Encoded]
    dev: Sequence[Encoded]
    rate: float
    on_step: Callable[[int, float], None] = lambda step, seconds: None
    nearest: Nearest | None = None

    def run(self, checkpoints: Checkpoints) -> TrainingState:
        """Teach to the last step, going on from the newest checkpoint; leaves the best θ on dev in the tagger."""
        settings, tagger = self.settings, self.engine.tagger
        optimizer = optim.fresh(settings.optimizer, tagger.trained(), self.rate)
        state = TrainingState.start(tagger, optimizer)
        if (folder := checkpoints.load()) is not None:
            state.load(folder)
        stream = self.stream(Place(**state.place["stream"]) if state.place else None)
        started = time.monotonic()
        for step in range(state.update, settings.steps):
            factor = optim.schedule(step, updates=settings.steps, warmup=settings.warmup)
            own = self._gradients(self.lessons(step, stream))
            state.add_loss(step_together(tagger, own, optimizer, self.rate * factor))
            state.update = step + 1
            self.on_step(state.update, time.monotonic() - started)
            if state.update % settings.dev_every == 0 or state.update == settings.steps:
                state.place = {**place_of(stream), "nearest": self._agreed(state.place.get("nearest", {}))}
                state.close_interval(self.dev_f1())
                checkpoints.save(state.history[-1], state.save)
        restore(tagger, state.best)
        return state

    def lessons(self, step: int, stream: Stream) -> list[Lesson]:
        """This worker's share of a step."""
        items: list[Sentence | int] = [*stream.take(self.settings.batch), *self._gold_of(step)]
        own = list(workers.share(enumerate(items)))
        lessons = [self._lesson(item, step, number) for number, item in own]
        if self.nearest is None:
            return lessons
        words = [item.words for _, item in own if isinstance(item, Sentence)]
        agreed = iter(self.nearest.agree(words, [lesson.target.argmax(1) for lesson in lessons if not lesson.gold]))
        return [each if each.gold else dataclasses.replace(each, trusted=next(agreed)) for each in lessons]

    def _lesson(self, item: Sentence | int, step: int, number: int) -> Lesson:
        """item: a tagged sentence, or the place of a gold one. number: its own in the step."""
        settings = self.settings
        seed = int(np.random.default_rng([settings.seed, DROPOUT, step, number]).integers(2**62))
        if isinstance(item, Sentence):
            return Lesson(self.encode(item.words), item.teacher, False, settings.soft_weight / settings.batch, seed)
        return Lesson(self.gold[item], self._targets[item], True, settings.gold_weight / settings.gold, seed)

    def _gold_of(self, step: int) -> Iterator[int]:
        """The gold sentences of a step: the next ones in a stream of shuffled passes."""
        for position in range(step * self.settings.gold, (step + 1) * self.settings.gold):
            epoch, place = divmod(position, len(self.gold))
            yield int(_shuffled(self.settings.seed, epoch, len(self.gold))[place])

    @cached_property
    def _targets(self) -> list[np.ndarray]:
        return [one_hot(sentence.labels or (), self.engine.label_set) for sentence in self.gold]

    def _gradients(self, lessons: Sequence[Lesson]) -> Gradients:
        """Of lessons of similar length together."""
        most = CPU_SUBWORDS if torch.device(self.engine.device).type == "cpu" else GPU_SUBWORDS
        for rows in by_length([lesson.encoded for lesson in lessons], most):
            yield self.gradient([lessons[i] for i in rows])

    def gradient(self, lessons: Sequence[Lesson]) -> tuple[dict[str, torch.Tensor], float]:
        """∇ of the lessons' loss, by parameter name, and the loss."""
        engine = self.engine
        batch = collate([lesson.encoded for lesson in lessons], engine.tokenizer, device=engine.device)
        dropout = [torch.Generator(engine.device).manual_seed(lesson.seed) for lesson in lessons]
        value = lessons_loss(engine.tagger(batch, dropout), batch, lessons, engine.label_set, self.settings)
        value.backward()
        found = {name: p.grad for name, p in engine.tagger.trained().items() if p.grad is not None}
        engine.tagger.zero_grad(set_to_none=True)
        return found, value.item()

    def dev_f1(self) -> float:
        own = list(workers.share(self.dev))
        return score_together(self.engine, own, self.engine.plain(own)).overall.f1

    def _agreed(self, before: Mapping[str, Sequence[int]]) -> dict[str, list[int]]:
        """By label, how many words taught, of all workers, and how many were left out. before: until the last time."""
        if self.nearest is None:
            return {}
        total = torch.as_tensor(self.nearest.counted(), device=self.engine.device)
        workers.add_up([total])
        of_label = zip(self.engine.label_set.words, total.tolist(), strict=True)
        return {name: [a + b for a, b in zip(before.get(name, (0, 0)), both, strict=True)] for name, both in of_label}


@lru_cache(maxsize=2)
def _shuffled(seed: int, epoch: int, many: int) -> np.ndarray:
    return np.random.default_rng([seed, GOLD, epoch]).permutation(many)


def place_of(stream: Stream) -> dict[str, Any]:
    """What goes into a checkpoint: where the stream is, and what was counted of it."""
    return {"stream": dataclasses.asdict(stream.place), "counts": stream.counts, "whole": stream.whole}
