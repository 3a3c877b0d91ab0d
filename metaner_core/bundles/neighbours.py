"""What retrieval finds: how near the support sets of a corpus are, how many there are, and whether they fit.

    python -m metaner_core.bundles.neighbours --bundle out/bundle --corpus conll2003-en conll2002-es --data DATA
    python -m metaner_core.bundles.neighbours --encoder e5-small --set pooling=mean --set 'prefix=query: ' \\
        --source conll2003-en --corpus conll2003-en --data DATA --output out/neighbours.json

Before a bundle is trained it says which encoder, pooling, layer and prefix to train it with. They are chosen on English
dev; what other languages say is for a report, for labels of theirs are what the method does without.
"""

import argparse
import dataclasses
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from metaner_core import storage
from metaner_core.bundles import bundle
from metaner_core.bundles.prepare import usable
from metaner_core.command import CommandParser, run
from metaner_core.data import corpora
from metaner_core.data.corpora import Sentence
from metaner_core.data.labels import spans
from metaner_core.encoders.encoder import load_encoder
from metaner_core.method.retrieval import Retrieval, SupportIndex
from metaner_core.model.inputs import Inputs
from metaner_core.settings import Settings, parse_overrides, preset

EXAMPLES = (
    "--bundle out/bundle --corpus conll2003-en conll2002-es --data DATA",
    "--encoder e5-small --set pooling=mean --set 'prefix=query: ' --source conll2003-en --data DATA",
)
DEFAULT = ("embedded-en", "embedded-es", "embedded-nl", "embedded-de", "embedded-fr", "embedded-zh")
SHOWN = ("neighbours", "neighbour_rule", "similarity", "retrieval_encoder", "pooling", "layer", "prefix")
Support = Callable[[Sequence[Sequence[str]]], tuple[np.ndarray, np.ndarray]]  # such as `Bundle.support`


@dataclass(frozen=True, kw_only=True)
class Neighbours:
    """The support sets of a corpus's sentences. similarity: mean of the nearest's. support_sets, sources: how many
    distinct ones there are. type_recall: of the entity types in a sentence, how many (percent, of all sentences'
    together) its neighbours have too; type_precision: of the neighbours' types, how many the sentence has."""

    corpus: str
    split: str
    sentences: int
    similarity: float
    support_sets: int
    sources: int
    type_recall: float
    type_precision: float


def measure(
    support: Support, source: Sequence[Sentence], sentences: Sequence[Sentence], types: Sequence[str]
) -> dict[str, Any]:
    """The figures of `Neighbours`, of sentences that have words. types: that both sides are annotated with."""
    ids, similarities = support([s.words for s in sentences])
    inside, near = [_types(s, types) for s in sentences], [_types(s, types) for s in source]
    found = [set[str]().union(*(near[i] for i in row)) for row in ids.tolist()]
    both = sum(len(a & b) for a, b in zip(inside, found, strict=True))
    return {
        "sentences": len(sentences),
        "similarity": float(similarities[:, 0].mean()) if len(sentences) else 0.0,
        "support_sets": len({frozenset(row) for row in ids.tolist()}),
        "sources": len(np.unique(ids)),
        "type_recall": _percent(both, sum(map(len, inside))),
        "type_precision": _percent(both, sum(map(len, found))),
    }


def _types(sentence: Sentence, types: Sequence[str]) -> set[str]:
    return {span.type for span in spans(sentence.labels)} & set(types)


def _percent(part: int, whole: int) -> float:
    return 100 * part / whole if whole else 0.0


def table(found: Sequence[Neighbours], title: str) -> Table:
    made = Table(title=title, title_justify="left", caption="English dev is for choosing, all others for reporting.")
    for column in ("corpus", "split", "sentences", "similarity", "support sets", "sources", "type recall", "precision"):
        made.add_column(column, justify="left" if column in ("corpus", "split") else "right")
    for row in found:
        counts = (f"{n:,}" for n in (row.support_sets, row.sources))
        shares = (f"{share:.1f}" for share in (row.type_recall, row.type_precision))
        made.add_row(row.corpus, row.split, f"{row.sentences:,}", f"{row.similarity:.3f}", *counts, *shares)
    return made


def retrieval_of(options: argparse.Namespace) -> tuple[Support, Sequence[Sentence], Settings]:
    """What the options of `add_retrieval` ask for."""
    return _of_bundle(options) if options.bundle else _of_encoder(options)


def _of_encoder(options: argparse.Namespace) -> tuple[Support, Sequence[Sentence], Settings]:
    """Retrieval among an English corpus's training sentences, as a bundle would have it."""
    changes = {**parse_overrides(options.set), "retrieval_encoder": options.encoder}
    settings = preset("paper", **changes)
    retrieval = Retrieval(*load_encoder(options.encoder), settings)
    source = usable(corpora.load(options.source, "train", data=options.data), settings.types)
    read = Inputs(retrieval.tokenizer, settings)
    index = SupportIndex(retrieval.vectors([read(s.words).retrieval for s in source]), similarity=settings.similarity)
    return lambda sentences: retrieval.support([read(words).retrieval for words in sentences], index), source, settings


def _of_bundle(options: argparse.Namespace) -> tuple[Support, Sequence[Sentence], Settings]:
    loaded = bundle.load(options.bundle, changes=parse_overrides(options.set))
    return loaded.support, loaded.source, loaded.settings


def add_retrieval(parser: argparse.ArgumentParser) -> None:
    """Options that say whose retrieval it is, and among which sentences."""
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--bundle", help="folder or s3:// prefix: its retrieval, among its own sentences")
    which.add_argument(
        "--encoder", help="`embedded`, `e5-small`, a folder, s3:// or a hub name: before there is a bundle"
    )
    parser.add_argument("--source", default="embedded-en", help="with --encoder: whose train sentences are found")
    sets = "replace a setting: pooling, layer, prefix with --encoder, neighbours with either"
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help=sets)
    parser.add_argument("--data", help="folder or s3:// prefix that holds the corpora's folders")


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = CommandParser(
        "metaner_core.bundles.neighbours", "What retrieval finds for sentences of labelled corpora.", EXAMPLES
    )
    add_retrieval(parser)
    parser.add_argument("--corpus", nargs="+", default=DEFAULT, help=f"of {', '.join(corpora.CORPORA)}")
    parser.add_argument("--split", help="default: dev of English corpora, test of others")
    parser.add_argument("--limit", type=int, help="only the first N sentences of each corpus")
    parser.add_argument("--output", help="a JSON file of the figures; must not exist")
    options = parser.parse_args(arguments)
    if options.limit is not None and options.limit < 1:
        raise ValueError(f"--limit is {options.limit}; least is 1")
    return options


def _split(name: str) -> str:
    spec = corpora.CORPORA.get(name)
    return "dev" if spec is not None and spec.language == "en" else "test"


def _sentences(name: str, split: str, options: argparse.Namespace) -> list[Sentence]:
    found = corpora.load(name, split, data=options.data)
    return [s for s in found if s.words and not s.docstart][: options.limit]


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parse(arguments)
    if options.output:
        storage.require_unused(options.output, "result")
    splits = {name: options.split or _split(name) for name in options.corpus}
    parts = {name: _sentences(name, split, options) for name, split in splits.items()}
    console = Console(width=110)
    with console.status("encoding the source sentences"):
        support, source, settings = retrieval_of(options)
    found = []
    for name, sentences in parts.items():
        types = [t for t in settings.types if t in corpora.CORPORA[name].types]
        with console.status(name):
            figures = measure(support, source, sentences, types)
        found.append(Neighbours(corpus=name, split=splits[name], **figures))
    console.print(table(found, f"K = {settings.neighbours} of {len(source):,} source sentences"))
    if options.output:
        storage.write_bytes(options.output, _to_json(found, options.bundle, settings, len(source)))


def _to_json(found: Sequence[Neighbours], uri: str | None, settings: Settings, source: int) -> bytes:
    chosen = {name: getattr(settings, name) for name in SHOWN}
    rows = [dataclasses.asdict(row) for row in found]
    return json.dumps({"bundle": uri, "source": source, "settings": chosen, "corpora": rows}, indent=1).encode()


if __name__ == "__main__":
    run(main)
