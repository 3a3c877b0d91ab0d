"""Documents to rows of the output schema: segment, encode, retrieve, adapt, predict, and deal the results back.

A document that cannot be tagged becomes a row that says why; it never takes others with it. Here one process does all
of it; `stages` has the parts for several.
"""

from collections.abc import Iterator, Sequence

from metaner_core.bundles.bundle import Bundle
from metaner_core.tagging.stages.making import inputs_of
from metaner_core.tagging.stages.predicting import predict
from metaner_core.tagging.stages.rows import row
from metaner_core.text.document import Document, Row
from metaner_core.text.outcomes import Ready, rejected
from metaner_core.text.rules import DEFAULT, Rules
from metaner_core.text.schema import NOTHING, Keep
from metaner_core.text.screening import screen

__all__ = ["Document", "Row", "Rules", "iter_documents", "rejected", "tag_documents", "tag_ready"]


def tag_documents(
    bundle: Bundle,
    documents: Sequence[Document],
    *,
    rules: Rules = DEFAULT,
    adapted: bool = True,
    keep: Keep = NOTHING,
) -> list[Row]:
    """One row for each document, in order; `schema.tables` makes tables of them. As `iter_documents`, all at once."""
    return list(iter_documents(bundle, documents, rules=rules, adapted=adapted, keep=keep))


def iter_documents(
    bundle: Bundle,
    documents: Sequence[Document],
    *,
    rules: Rules = DEFAULT,
    adapted: bool = True,
    keep: Keep = NOTHING,
) -> Iterator[Row]:
    """One row for each document, in order, made when asked for.

    Those that are to be tagged are, as `tag_ready` does it; it says what it raises.
    """
    prepared = [screen(document, rules) for document in documents]
    found = tag_ready(bundle, [p for p in prepared if isinstance(p, Ready)], adapted=adapted, keep=keep)
    return (next(found) if isinstance(p, Ready) else p for p in prepared)


def tag_ready(
    bundle: Bundle, documents: Sequence[Ready], *, adapted: bool = True, keep: Keep = NOTHING
) -> Iterator[Row]:
    """One row for each document, in order: tagged by the time it returns, made when asked for (it takes much memory).

    adapted=False: predictions of θ* itself, no neighbours. keep: what is kept of its certainty. A document whose words
    the tokenizer fails on is rejected; of the model's failing `predict` says what becomes, and what is raised.
    """
    inputs = [inputs_of(bundle.inputs, document) for document in documents]
    return map(row, documents, predict(bundle, inputs, adapted=adapted, keep=keep))
