"""The actor of an evaluation: holds the bundle and turns parts of tests into results.

Columns of a result's tally, one number a sentence: `gold`, `unadapted.predicted`, `unadapted.correct` and so on of
phrases; `similarity`, the mean of its neighbours', in thousandths; `recall`, how many percent of its entity types its
neighbours have (NONE: it has no entity). The last two are not there where the bundle has no neighbours.
"""

import dataclasses
import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import ray

from jobs.common.imports import gc_paused
from jobs.common.session import got, refusing
from jobs.scoring.parts import Part, record_uri
from jobs.scoring.result import ENGINES, EXAMPLES, Result, Test
from metaner_core import storage
from metaner_core.data.columns import Sentence
from metaner_core.data.labels import relabel
from metaner_core.data.scoring import Counts
from metaner_core.data.tallies import Phrases, changes, matched, phrases
from metaner_core.engine.config import BATCHED, EngineConfig

if TYPE_CHECKING:
    from metaner_core.model.encoding import Encoded
    from metaner_core.model.examples import Examples
    from metaner_core.model.tagger import Prediction

NONE = -1
TELL_SECONDS = 2.0
# Of actors, while one loads the bundle or in the middle of one part: then that is not tried again. Ray would for ever.
MOST_DEATHS = 3
MEMORY = "if machines ran out of memory, begin again with fewer --actors for each, or on larger ones"


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """What scores, where, and where the records of parts go (None: nowhere). unadapted: no adapted model does. names:
    results have the names of every sentence."""

    uri: str
    actors: int = 1
    gpu: bool = False
    threads: int = 1
    config: EngineConfig | None = None
    changes: Mapping[str, Any] | None = None
    unadapted: bool = False
    names: bool = False
    parts: str | None = None

    @property
    def engines(self) -> tuple[str, ...]:
        """Those that score."""
        return ENGINES[:1] if self.unadapted else ENGINES

    def facts(self, tests: Sequence[Test]) -> dict[str, Any]:
        """All that decides the counts."""
        manifest = json.loads(storage.read_bytes(storage.join(self.uri, storage.MANIFEST)))
        config = self.config or BATCHED
        return {
            "bundle": manifest["fingerprint"],
            "changes": dict(self.changes or {}),
            "engine": config.engine,
            "precision": config.precision,
            **({"unadapted": True} if self.unadapted else {}),
            **({"names": True} if self.names else {}),
            "tests": [{"name": test.name, **test.facts()} for test in tests],
        }


class Scorer:
    """Ray Data gives it parts, a row each.

    A part that cannot be scored has a record with its error, which is kept nowhere.
    """

    def __init__(self, scoring: Scoring, tests: Sequence[ray.ObjectRef], board: Any) -> None:
        """tests: a reference to them, in a list: Ray would resolve one by itself for every actor's start. board: an
        actor, a `Board`."""
        with gc_paused():  # late: the driver needs none of it
            import torch

            from jobs.common.device import device
            from metaner_core.bundles import bundle

        if not scoring.gpu:
            torch.set_num_threads(scoring.threads)
        self.parts, self.board, self.engines, self.names = scoring.parts, board, scoring.engines, scoring.names
        self._last, self._ahead, self._told, self._posted = False, 0, 0, 0.0
        how: dict[str, Any] = {"config": scoring.config, "changes": scoring.changes}
        loading = f"loading, {ray.get_runtime_context().get_actor_id()}"  # the same when Ray starts it again
        with refusing(lambda why: ray.get(board.refuse.remote(why))):
            deaths: int = got(board.begin.remote(loading))
            if deaths >= MOST_DEATHS:
                raise ValueError(f"{deaths} actors ended while they loaded the bundle: {MEMORY}")
            self.bundle = bundle.load(scoring.uri, device=device(scoring.gpu), tell=self._tell, **how)
        board.end.remote(loading)
        self.tests: Sequence[Test] = ray.get(tests[0])

    def __call__(self, rows: pa.Table) -> pa.Table:
        return pa.table({"record": [json.dumps(self._record(Part(**row))) for row in rows.to_pylist()]})

    def _record(self, part: Part) -> dict[str, Any]:
        test = self.tests[part.test]
        what = f"sentences {part.first + 1:,} to {part.last:,} of {test.name}"
        deaths: int = got(self.board.begin.remote(what))
        if deaths >= MOST_DEATHS:
            error = f"{deaths} actors ended in the middle of {what}: {MEMORY}; what is scored stays"
            return {**part.to_dict(), "error": error}
        if deaths:
            got(self.board.post.remote(f"{what} once more: {deaths} actor(s) ended in the middle of them"))
        try:
            return self._kept(test, part)
        finally:
            self.board.end.remote(what)

    def _kept(self, test: Test, part: Part) -> dict[str, Any]:
        """The part's record, which is written where records go."""
        try:
            result = self.score(test, part)
        except Exception as error:  # one test's trouble is not the others'
            return {**part.to_dict(), "error": f"{type(error).__name__}: {error}"}
        record = {**part.to_dict(), "result": result.to_dict()}
        if self.parts is not None:
            storage.write_whole(record_uri(self.parts, part), json.dumps(record).encode())
        return record

    def score(self, test: Test, part: Part) -> Result:
        """Score one part by the engines that are asked for: the same twice where there is nothing to adapt to."""
        sentences = test.scored()[part.first : part.last]
        inputs = [self.bundle.inputs(s.words) for s in sentences]
        examples = self.bundle.examples(inputs)
        seconds, found = {}, {}
        engines = self.engines if self.bundle.adapts else ENGINES[:1]
        self._last = False
        near = self.bundle.nearest(examples.inputs) if "adapted" in engines else None
        for engine in engines:
            started = time.monotonic()
            self._last, self._ahead, self._told = engine == engines[-1], 0, 0
            support = near[0] if near else None
            found[engine] = examples.joined(self._predict(engine, examples.encoded, support))
            seconds[engine] = time.monotonic() - started
        for engine in self.engines[len(engines) :]:  # adapted, with nothing to adapt to
            found[engine], seconds[engine] = found[engines[0]], seconds[engines[0]]
        self._post(part.last - part.first - self._told)
        predictions = found[self.engines[-1]]
        pairs = zip(sentences, predictions, strict=True)
        gold = self._phrases([relabel([s.labels[w] for w in p.words], test.types) for s, p in pairs])
        guessed = {e: self._phrases([relabel(p.labels, test.types) for p in its]) for e, its in found.items()}
        return Result(
            name=test.name,
            sentences=len(sentences),
            counts={e: _counts(gold, its) for e, its in guessed.items()},
            seconds=seconds,
            tally=_tally(gold, guessed) | (self._nearness(gold, examples, *near) if near else {}),
            changed=_changed(gold, guessed) if len(guessed) > 1 else {},
            examples=_examples(sentences, predictions, gold, guessed) if len(guessed) > 1 else [],
            names={"gold": gold, **guessed} if self.names else {},
        )

    def _predict(self, engine: str, encoded: "Sequence[Encoded]", support: np.ndarray | None) -> "list[Prediction]":
        """support: None where nothing is adapted."""
        overlaps = self.bundle.settings.score_overlaps
        if engine == "unadapted" or support is None:
            return self.bundle.engine.plain(encoded, overlaps=overlaps)
        return self.bundle.engine.adapted(encoded, support, overlaps=overlaps)

    def _phrases(self, labels: Sequence[Sequence[str]]) -> Phrases:
        return phrases(labels, as_one=self.bundle.settings.score_overlaps)

    def _nearness(
        self, gold: Phrases, examples: "Examples", support: np.ndarray, similarity: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Columns that say how near a sentence's neighbours are, or its first window's."""
        support, similarity = self.bundle.sentences(support[examples.first]), similarity[examples.first]
        recall = [self._recall({span.type for span in g}, ids) for g, ids in zip(gold, support.tolist(), strict=True)]
        thousandths = np.rint(1000 * np.asarray(similarity, np.float64).mean(1)).astype(np.int64)
        return {"similarity": thousandths, "recall": np.array(recall, np.int64)}

    def _recall(self, types: set[str], ids: Sequence[int]) -> int:
        theirs = {label[2:] for i in ids for label in self.bundle.source[i].labels if label != "O"}
        return round(100 * len(types & theirs) / len(types)) if types else NONE

    def _tell(self, sentences: int) -> None:
        """What is tagged twice counts the last time: adapting, which takes the time."""
        if self._last:
            self._ahead += sentences
            if time.monotonic() - self._posted > TELL_SECONDS:
                self._post(self._ahead)
                self._ahead = 0

    def _post(self, sentences: int) -> None:
        self._told, self._posted = self._told + sentences, time.monotonic()
        self.board.add.remote({"sentences": sentences})


def _counts(gold: Phrases, guessed: Phrases) -> Counts:
    correct = (g & p for g, p in zip(gold, guessed, strict=True))
    by_type = [Counter(span.type for found in part for span in found) for part in (correct, guessed, gold)]
    return Counts(*map(dict, by_type))


def _tally(gold: Phrases, guessed: Mapping[str, Phrases]) -> dict[str, np.ndarray]:
    columns = {"gold": np.array([len(g) for g in gold], np.int64)}
    for engine, found in guessed.items():
        columns[f"{engine}.predicted"], columns[f"{engine}.correct"] = matched(gold, found)
    return columns


def _changed(gold: Phrases, guessed: Mapping[str, Phrases]) -> dict[str, dict[str, int]]:
    found: dict[str, Counter[str]] = {}
    for g, before, after in zip(gold, *(guessed[e] for e in ENGINES), strict=True):
        for kind, changed in changes(g, before, after).items():
            found.setdefault(kind, Counter()).update(span.type for span in changed)
    return {kind: dict(by_type) for kind, by_type in found.items()}


def _examples(
    sentences: Sequence[Sentence], predictions: "Sequence[Prediction]", gold: Phrases, guessed: Mapping[str, Phrases]
) -> list[dict[str, Any]]:
    """Names gained and lost, one of a sentence at most, with the sentence. Of one cut to windows whose overlaps count
    twice there are none: places are no words there."""
    found: dict[str, list[dict[str, Any]]] = {"gained": [], "lost": []}
    for sentence, p, g, before, after in zip(sentences, predictions, gold, *(guessed[e] for e in ENGINES), strict=True):
        by_kind = changes(g, before, after)
        for kind, kept in found.items():
            changed = sorted(by_kind[kind], key=lambda span: span.start)
            whole = len(p.words) == len(sentence.words) and all(span.end <= len(p.words) for span in changed)
            if changed and whole and len(kept) < EXAMPLES:
                kept.append({"kind": kind, "words": list(sentence.words), **dataclasses.asdict(changed[0])})
    return [example for examples in found.values() for example in examples]
