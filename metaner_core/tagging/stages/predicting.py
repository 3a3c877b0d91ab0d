"""The second stage, which is the model's: what is found in each sentence."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from metaner_core.bundles.bundle import Bundle
from metaner_core.model.inputs import Input
from metaner_core.tagging.stages.making import Problem, problem

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Found:
    """What the model found in one sentence. windows: that it was cut to. labels, probabilities: of each word.
    neighbours: (id, similarity), best first; none if nothing was adapted; where windows have their own, the first's."""

    windows: int
    labels: tuple[str, ...]
    probabilities: tuple[float, ...]
    neighbours: tuple[tuple[int, float], ...] = ()


def predict(
    bundle: Bundle, documents: Sequence[Sequence[Input] | Problem], *, adapted: bool
) -> list[list[Found] | Problem]:
    """What is found in the sentences of each document, or why nothing can be; what has a problem keeps it.

    adapted=False: predictions of θ* itself, no neighbours. All sentences of the documents go through the model
    together. If that fails, each document goes alone and those that fail again get a problem. Raises the model's error
    when it cannot tag a source sentence either: then it is the machine that fails, and no document is to blame.
    """
    whole = [document for document in documents if not isinstance(document, Problem)]
    try:
        rest = iter(_found(bundle, [sentence for document in whole for sentence in document], adapted))
        found: list[list[Found] | Problem] = [list(islice(rest, len(document))) for document in whole]
    except Exception as error:
        log.warning("the model failed on %d documents together, trying each alone: %r", len(whole), error)
        bundle.engine.plain(bundle.engine.source[:1])
        found = [_alone(bundle, document, adapted) for document in whole]
    dealt = iter(found)
    return [document if isinstance(document, Problem) else next(dealt) for document in documents]


def _alone(bundle: Bundle, document: Sequence[Input], adapted: bool) -> list[Found] | Problem:
    try:
        return _found(bundle, document, adapted)
    except Exception as error:
        bundle.engine.plain(bundle.engine.source[:1])
        return problem(error)


def _found(bundle: Bundle, sentences: Sequence[Input], adapted: bool) -> list[Found]:
    """What is found in each sentence; all go through the model in one list."""
    if not sentences:
        return []
    encoded = [sentence.tagging for sentence in sentences]
    neighbours: list[tuple[tuple[int, float], ...]] = [() for _ in sentences]
    if adapted:
        examples = bundle.examples(sentences)
        ids, similarities = bundle.nearest(examples.inputs)
        near = bundle.sentences(ids[examples.first]).tolist(), similarities[examples.first].tolist()
        neighbours = [tuple(zip(*pair, strict=True)) for pair in zip(*near, strict=True)]
        predictions = examples.joined(bundle.engine.adapted(examples.encoded, ids))
    else:
        predictions = bundle.engine.plain(encoded)
    parts = zip(encoded, predictions, neighbours, strict=True)
    return [Found(len(sentence.windows), p.labels, p.probabilities, near) for sentence, p, near in parts]
