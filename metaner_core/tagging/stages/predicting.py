"""The second stage, which is the model's: what is found in each sentence."""

import dataclasses
import logging
from collections.abc import Sequence
from itertools import islice

from metaner_core.bundles.bundle import Bundle
from metaner_core.model.inputs import Input
from metaner_core.tagging.stages.parts import Found, Problem, problem
from metaner_core.text.schema import NOTHING, Keep

log = logging.getLogger(__name__)


def predict(
    bundle: Bundle, documents: Sequence[Sequence[Input] | Problem], *, adapted: bool, keep: Keep = NOTHING
) -> list[list[Found] | Problem]:
    """What is found in the sentences of each document, or why nothing can be; what has a problem keeps it.

    adapted=False: predictions of θ* itself, no neighbours; a bundle that has none always tags so. All sentences of the
    documents go through the model together. If that fails, each document goes alone and those that fail again get a
    problem. Raises the model's error when it cannot tag a source sentence (or a word) either: then it is the machine
    that fails, and no document is to blame.
    """
    whole = [document for document in documents if not isinstance(document, Problem)]
    try:
        rest = iter(_found(bundle, [sentence for document in whole for sentence in document], adapted, keep))
        found: list[list[Found] | Problem] = [list(islice(rest, len(document))) for document in whole]
    except Exception as error:
        log.warning("the model failed on %d documents together, trying each alone: %r", len(whole), error)
        _require_working(bundle)
        found = [_alone(bundle, document, adapted, keep) for document in whole]
    dealt = iter(found)
    return [document if isinstance(document, Problem) else next(dealt) for document in documents]


def _require_working(bundle: Bundle) -> None:
    """Raises the model's error when it cannot tag what any model can: a source sentence, or a word if there is none."""
    bundle.engine.plain(bundle.engine.source[:1] or [bundle.encode(["a"])])


def _alone(bundle: Bundle, document: Sequence[Input], adapted: bool, keep: Keep) -> list[Found] | Problem:
    try:
        return _found(bundle, document, adapted, keep)
    except Exception as error:
        _require_working(bundle)
        return problem(error)


def _found(bundle: Bundle, sentences: Sequence[Input], adapted: bool, keep: Keep) -> list[Found]:
    """What is found in each sentence; all go through the model in one list."""
    if not sentences:
        return []
    encoded = [sentence.tagging for sentence in sentences]
    engine = dataclasses.replace(bundle.engine, distributions=True) if keep.probabilities else bundle.engine
    neighbours: list[tuple[tuple[int, float], ...]] = [() for _ in sentences]
    if adapted and bundle.adapts:
        examples = bundle.examples(sentences)
        bottoms = engine.bottoms(bundle.retrieval)
        ids, similarities = bundle.nearest(examples.inputs, bottoms)
        near = bundle.sentences(ids[examples.first]).tolist(), similarities[examples.first].tolist()
        neighbours = [tuple(zip(*pair, strict=True)) for pair in zip(*near, strict=True)]
        predictions = examples.joined(engine.adapted(examples.encoded, ids, bottoms=bottoms))
    else:
        predictions = engine.plain(encoded)
    before = [p.distributions for p in engine.plain(encoded)] if keep.unadapted else [None] * len(encoded)
    parts = zip(encoded, predictions, neighbours, before, strict=True)
    return [
        Found(len(sentence.windows), p.labels, p.probabilities, near, p.distributions, own)
        for sentence, p, near, own in parts
    ]
