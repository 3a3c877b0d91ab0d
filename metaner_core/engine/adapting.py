"""Adapting to many sentences at once, exactly: the same predictions as `adapt.Engine`, the reference, in less time.

The adapted model depends on the support set alone, and a set's gradient is a sum over its sentences. So sentences are
put in the order of their sets and worked off in waves (docs/findings/engine.md has the mathematics and what each part
brings): equal sentences once; each distinct source sentence forward and backward once, or again if its trace could not
be kept; each distinct support set's weights formed once, layer by layer, while the sentences that share it pass
through, and dropped.
"""

import dataclasses
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch.nn import functional as F
from transformers import PreTrainedTokenizerBase

from metaner_core import threads
from metaner_core.engine import memory
from metaner_core.engine.config import PRECISIONS, EngineConfig
from metaner_core.engine.sharing.store import Store
from metaner_core.engine.sharing.waves import Query, Room, Support, ordered, parts, plan, units_of
from metaner_core.engine.weights.adapted import Formed
from metaner_core.engine.weights.steps import Step
from metaner_core.engine.weights.thin import Thin
from metaner_core.engine.weights.trace import Fixed, Theta, Trace, Traced, rows_of
from metaner_core.method.adapt import Engine, batch_subwords, by_length, silent
from metaner_core.method.retrieval import Retrieval
from metaner_core.method.seeds import adaptation_seed
from metaner_core.model.bottoms import Bottoms
from metaner_core.model.encoding import Encoded, LabelSet, collate
from metaner_core.model.tagger import Prediction, Tagger, decode, loss
from metaner_core.model.transformer import Noise, Packed, embed, finish, pack, run_layers
from metaner_core.settings import Settings

log = logging.getLogger(__name__)
CPU_ROOM = 2**27  # numbers of source sentences' traces that are kept: 512 MiB in fp32
GPU_ROOM = 6  # and on a GPU what a sixth of its memory holds: 13 GB of 80
CPU_PASSED, GPU_PASSED = 4, 2  # of the tokens that are kept one in so many goes forward and backward in one wave
QUERIES = 8  # and so many times as many query tokens are tagged in it, which leave nothing behind
# Tokens whose vectors are kept from retrieval: on a CPU those of some 10,000 sentences, a GiB with BERT-base's width,
# half of that with 384; on a GPU what a tenth of its memory holds.
CPU_BOTTOMS, GPU_BOTTOMS = 350_000, 10
# Numbers of sets' gradients that are formed at once on a GPU: what one in so many parts of its memory holds, 4 GB of
# 80, and twice as much for their step.
GPU_FORMED = 20


@dataclass
class Shared:
    """How much work was shared. sentences asked for, distinct ones among them, support sets adapted to, source
    sentences gone through forward and backward, waves, and waves halved for lack of GPU memory."""

    sentences: int = 0
    distinct: int = 0
    sets: int = 0
    source: int = 0
    waves: int = 0
    halved: int = 0

    def add(self, other: "Shared") -> None:
        for name, n in dataclasses.asdict(other).items():
            setattr(self, name, getattr(self, name) + n)


@dataclass(frozen=True)
class BatchedEngine(Engine):
    """tokens: of source sentences whose traces are kept at a time; None: what CPU_ROOM or GPU_ROOM has room for, which
    on a CPU is divided by torch's threads: each works on sentences of its own.

    precision: `fp32`, or `bf16` for the linear layers' products (docs/findings/engine.md: what changes).

    Memory beyond the model's own, in numbers of the model's precision, with Σ (in + out) over the trained linear
    layers: Σ for each of these tokens, 2 Σ for each that goes forward and backward (a quarter of them; on a GPU half),
    and for the weights that are formed together three times their numbers: on a CPU trace.BLOCK (for bertadam the
    largest layer's out x in), on a GPU a GPU_FORMED-th of its memory. It does not grow with the number of sentences.
    What retrieval keeps for it (`bottoms`) comes on top: the width for each of CPU_BOTTOMS tokens, or a GPU_BOTTOMS-th.
    """

    tokens: int | None = None
    precision: str = "fp32"
    shared: Shared = field(default_factory=Shared)

    def work(self) -> dict[str, int]:
        return dataclasses.asdict(self.shared)

    def plain(self, sentences: Sequence[Encoded], *, overlaps: bool = False) -> list[Prediction]:
        """As `Engine.plain`: equal sentences once, no padding, and past the last attention the words' tokens only."""
        found = dict.fromkeys(sentences, Prediction())
        distinct = [sentence for sentence in found if sentence.ids]
        theta = self._theta()
        most = batch_subwords(self.device)
        batches = threads.evenly(lambda size: list(by_length(distinct, size)), most, device=self.device)
        done = threads.each(
            lambda rows: self._unadapted(theta, [distinct[i] for i in rows], overlaps), batches, device=self.device
        )
        for rows, predictions in zip(batches, done, strict=True):
            found.update(zip((distinct[i] for i in rows), predictions, strict=True))
        return [found[sentence] for sentence in sentences]

    @torch.no_grad()
    def _unadapted(self, theta: Theta, sentences: Sequence[Encoded], overlaps: bool) -> list[Prediction]:
        batch = collate(sentences, self.tokenizer, overlaps=overlaps, device=self.device)
        packed = pack(batch)
        x = self._bottom(theta, packed, None)
        logits = finish(self.tagger, packed, x, Fixed(theta), first=self.settings.frozen_layers)
        self.tell(len(sentences))
        return decode(logits, batch, self.label_set, every=self.distributions)

    def bottoms(self, retrieval: Retrieval) -> Bottoms | None:
        """Of the frozen layers, where retrieval goes through them as the tagger does."""
        depth = self.settings.frozen_layers
        unused = not depth or self.precision != "fp32" or self.settings.adapt_steps > 1
        if unused or not retrieval.passes(self.tagger.encoder, depth):
            return None
        if torch.device(self.device).type == "cpu":
            return Bottoms(depth, CPU_BOTTOMS)
        width = int(self.tagger.classifier.in_features)
        return Bottoms(depth, memory.numbers(self.device, GPU_BOTTOMS) // width)

    def adapted(
        self,
        sentences: Sequence[Encoded],
        support: np.ndarray,
        *,
        overlaps: bool = False,
        bottoms: Bottoms | None = None,
    ) -> list[Prediction]:
        """As `Engine.adapted`. More than one step goes the reference's way."""
        if self.settings.adapt_steps > 1:
            return super().adapted(sentences, support, overlaps=overlaps)
        places: dict[Query, list[int]] = {}
        for place, (sentence, ids) in enumerate(zip(sentences, support.tolist(), strict=True)):
            if sentence.ids:
                places.setdefault(self._query(sentence, ids), []).append(place)
        self.shared.add(Shared(sentences=sum(map(len, places.values())), distinct=len(places)))
        room = self._room()
        todo = parts(ordered(places, self.source, room), self.source, threads.count(self.device))
        found = [Prediction()] * len(sentences)
        done = threads.each(lambda part: self._in_waves(part, room, overlaps, bottoms), todo, device=self.device)
        for part, (predictions, work) in zip(todo, done, strict=True):
            self.shared.add(work)
            for query, prediction in zip(part, predictions, strict=True):
                for place in places[query]:
                    found[place] = prediction
        return found

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision is {self.precision!r}; it must be {' or '.join(PRECISIONS)}")
        if self.precision == "bf16" and self.settings.adapts_with == "bertadam":
            raise ValueError("precision bf16 is for adam and sgd: BertAdam's weight decay is below its resolution")

    def _query(self, sentence: Encoded, ids: Sequence[int]) -> Query:
        """The order of a support set matters to nothing but the dropout that falls on it."""
        if self.settings.adapt_dropout and self.settings.dropout:
            return Query(sentence, tuple(ids), noise=adaptation_seed(sentence, self.settings))
        return Query(sentence, tuple(sorted(ids)))

    def _in_waves(
        self, queries: Sequence[Query], room: Room, overlaps: bool, bottoms: Bottoms | None
    ) -> tuple[list[Prediction], Shared]:
        """Predictions of queries that stand in order. A source sentence's trace is kept while there is room."""
        todo = plan(queries, self.source, room)
        theta = self._theta()
        store = Store(todo.tokens, todo.units, theta.narrow)
        found: list[Prediction] = []
        work = Shared()
        for wave in todo.waves:
            store.drop(wave.dropped)
            try:
                predictions, more = self._together(wave.queries, theta, store, overlaps, bottoms)
            except torch.cuda.OutOfMemoryError:
                if len(wave.queries) == 1:
                    raise
                store.clear()
                predictions, more = self._halved(wave.queries, room, overlaps, bottoms)
            found += predictions
            work.add(more)
            self.tell(len(predictions))
        return found, work

    def _halved(
        self, queries: Sequence[Query], room: Room, overlaps: bool, bottoms: Bottoms | None
    ) -> tuple[list[Prediction], Shared]:
        """Predictions of a wave that was too large for the GPU's memory."""
        log.warning("out of GPU memory with %d sentences together, trying halves", len(queries))
        torch.cuda.empty_cache()
        found, work = [], Shared(halved=1)
        for half in (queries[: len(queries) // 2], queries[len(queries) // 2 :]):
            predictions, more = dataclasses.replace(self, tell=silent)._in_waves(half, room, overlaps, bottoms)
            found += predictions
            work.add(more)
        return found, work

    def _together(
        self, queries: Sequence[Query], theta: Theta, store: Store, overlaps: bool, bottoms: Bottoms | None
    ) -> tuple[list[Prediction], Shared]:
        sets = list(dict.fromkeys(query.set for query in queries))
        units = {unit: n for n, unit in enumerate(dict.fromkeys(u for query in queries for u in query.units))}
        new = [unit for unit in units if not store.has([unit])]
        if new:
            store.put(new, self._trace(theta, new, [key for key in sets if not store.has(units_of(*key))]))
        trace = store.trace(list(units), torch.device(self.device))
        members = [[units[unit] for unit in units_of(*key)] for key in sets]
        batch = collate([q.sentence for q in queries], self.tokenizer, overlaps=overlaps, device=self.device)
        packed = pack(batch)
        place = {key: n for n, key in enumerate(sets)}
        tokens, positions = rows_of(packed, self._tensor([place[q.set] for q in queries]), len(sets))
        share = self._shares(sets)
        step = Step(self.settings.adapts_with, self.settings.gamma)
        kind = Thin if step.thin else Formed
        with torch.no_grad():
            weights = kind(
                theta, step, trace, members, share=share, tokens=tokens, positions=positions, together=self._at_once
            )
            x = self._below(theta, [query.sentence for query in queries], packed, bottoms)
            logits = finish(self.tagger, packed, x, weights, first=self.settings.frozen_layers)
            found = decode(logits, batch, self.label_set, every=self.distributions)
        return found, Shared(sets=len(sets), source=len(new), waves=1)

    def _trace(self, theta: Theta, units: Sequence[tuple[int, object]], sets: Sequence[tuple[Support, int]]) -> Trace:
        """Forward and backward of every source sentence in the wave, once."""
        sentences = [self.source[i] for i, _ in units]
        batch = collate(sentences, self.tokenizer, label_set=self.label_set, device=self.device)
        packed = pack(batch)
        traced = Traced(theta)
        traced.record(*rows_of(packed, self._tensor(range(len(units))), len(units)))
        noise = self._noise(packed, sets)
        x = self._bottom(theta, packed, noise)
        with torch.enable_grad():
            logits = finish(self.tagger, packed, x, traced, noise, first=self.settings.frozen_layers)
            logits = logits.float() if self.precision == "bf16" else logits
            assert batch.labels is not None
            if self.settings.batch_loss == "mean_of_tokens":  # the sum; _shares makes it the mean
                value = F.cross_entropy(logits, batch.labels, reduction="sum")
            else:
                value = loss(logits, batch, reduction="sum_of_sentences", max_loss_weight=0.0)
            value.backward()
        return traced.trace

    def _theta(self) -> Theta:
        """The tagger's parameters in the engine's precision."""
        return Theta(self.tagger, torch.bfloat16 if self.precision == "bf16" else None)

    @torch.no_grad()
    def _bottom(self, theta: Theta, packed: Packed, noise: Noise | None) -> torch.Tensor:
        """The tokens' vectors below the first layer that is trained."""
        x = embed(self.tagger, packed, noise)
        x = x.to(torch.bfloat16) if self.precision == "bf16" else x
        return run_layers(self.tagger, packed, x, Fixed(theta), noise, last=self.settings.frozen_layers)

    def _below(
        self, theta: Theta, sentences: Sequence[Encoded], packed: Packed, bottoms: Bottoms | None
    ) -> torch.Tensor:
        """As `_bottom` of these sentences, but for those that `bottoms` has."""
        kept = [bottoms.of(s.ids) if bottoms and len(s.windows) == 1 else None for s in sentences]
        rest = [s for s, x in zip(sentences, kept, strict=True) if x is None]
        if len(rest) == len(sentences):
            return self._bottom(theta, packed, None)
        made = iter(())
        if rest:
            batch = collate(rest, self.tokenizer, device=self.device)
            made = iter(self._bottom(theta, pack(batch), None).split([s.tokens for s in rest]))
        return torch.cat([next(made) if x is None else x for x in kept])

    def _noise(self, packed: Packed, sets: Sequence[tuple[Support, int]]) -> Noise | None:
        if not (self.settings.adapt_dropout and self.settings.dropout):
            return None
        generators = [torch.Generator(self.device).manual_seed(seed) for _, seed in sets]
        owners = [n for n, (support, _) in enumerate(sets) for _ in support]
        return Noise(self.settings.dropout, generators, packed, owners, self.tagger)

    def _shares(self, sets: Sequence[tuple[Support, int]]) -> torch.Tensor | None:
        """What a set's sum of gradients is multiplied by; None: by 1."""
        if self.settings.batch_loss == "sum_of_sentences":
            return None
        counts = {i: self.positions(i) for support, _ in sets for i in support}
        totals = [sum(counts[i] for i in support) for support, _ in sets]
        return 1 / torch.tensor(totals, dtype=torch.float64, device=self.device)

    def _room(self) -> Room:
        kept, cpu = self.tokens, torch.device(self.device).type == "cpu"
        if not kept:
            width = sum(sum(p.shape) for p in self.tagger.trained().values() if p.ndim == 2)
            room = CPU_ROOM if cpu else memory.numbers(self.device, GPU_ROOM)
            kept = max(1, room // (width * threads.count(self.device)))
        passed = kept // (CPU_PASSED if cpu else GPU_PASSED)
        return Room(kept=kept, passed=max(1, passed), queries=max(1, QUERIES * passed))

    def _at_once(self, size: int) -> int:
        return 1 if torch.device(self.device).type == "cpu" else max(1, memory.numbers(self.device, GPU_FORMED) // size)

    def _tensor(self, values: Sequence[int]) -> torch.Tensor:
        return torch.tensor(list(values), dtype=torch.long, device=self.device)


def new_engine(
    config: EngineConfig,
    tagger: Tagger,
    tokenizer: PreTrainedTokenizerBase,
    label_set: LabelSet,
    settings: Settings,
    source: Sequence[Encoded],
    device: torch.device | str,
    tell: Callable[[int], object] = silent,
) -> Engine:
    """The engine that the config asks for."""
    if config.engine == "reference":
        return Engine(tagger, tokenizer, label_set, settings, source, device, tell)
    return BatchedEngine(tagger, tokenizer, label_set, settings, source, device, tell, precision=config.precision)
