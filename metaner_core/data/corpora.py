"""The labelled corpora by name, and how many sentences, tokens and entities they hold.

python -m metaner_core.data.corpora                                   # the small corpora that come with the package
python -m metaner_core.data.corpora --data ROOT                       # the paper's, ROOT/<name>/<file> for each
python -m metaner_core.data.corpora --data s3://bucket/corpora conll2002-es
python -m metaner_core.data.corpora --file my.conll --types PER,LOC   # check a file of your own
"""

from __future__ import annotations

import argparse
import random
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from metaner_core.command import CommandParser
from metaner_core.data.columns import Sentence, read_columns, read_sentences
from metaner_core.data.labels import TYPES, spans

__all__ = ["CORPORA", "CorpusSpec", "Sentence", "Statistics", "load", "read_columns", "read_sentences", "statistics"]

EXAMPLES = ("--data DATA", "--data s3://bucket/corpora conll2002-es", "--file my.conll --types PER,LOC")
NO_MISC = ("PER", "LOC", "ORG")
HOLD_OUT_SEED = 0  # any fixed one will do: the paper does not publish its split

_EMBEDDED = Path(__file__).parents[1] / "embedded"


@dataclass(frozen=True)
class CorpusSpec:
    """Where a corpus is and how to read it.

    `held_out` is for a corpus in one file: its `test` is that many sentences drawn at random with a fixed seed, its
    `train` the others.
    """

    name: str
    language: str
    files: Mapping[str, str]  # by split: train, dev, test
    types: tuple[str, ...] = TYPES
    sentence_end: str | None = None
    held_out: int | None = None
    embedded: bool = False  # comes with the package


def _conll(name: str, prefix: str) -> CorpusSpec:
    files = {"train": f"{prefix}.train", "dev": f"{prefix}.testa", "test": f"{prefix}.testb"}
    return CorpusSpec(name=name, language=name[-2:], files=files)


def _embedded(language: str, splits: Sequence[str] = ("test",), types: tuple[str, ...] = TYPES) -> CorpusSpec:
    files = {split: f"{language}.{split}.bio" for split in splits}
    return CorpusSpec(name=f"embedded-{language}", language=language, files=files, types=types, embedded=True)


CORPORA: dict[str, CorpusSpec] = {
    spec.name: spec
    for spec in (
        _conll("conll2003-en", "eng"),
        _conll("conll2003-de", "deu"),
        _conll("conll2002-es", "esp"),
        _conll("conll2002-nl", "ned"),
        CorpusSpec(
            name="europeana-fr",
            language="fr",
            files={"train": "enp_FR.bnf.bio", "test": "enp_FR.bnf.bio"},
            types=NO_MISC,
            sentence_end=".",  # the file has no sentence breaks; this gives the paper's 11,902
            held_out=2_375,
        ),
        CorpusSpec(name="msra-zh", language="zh", files={"test": "test.char.bmes"}, types=NO_MISC),
        _embedded("en", ("train", "dev")),
        _embedded("es"),
        _embedded("nl"),
        _embedded("de"),
        _embedded("fr", types=NO_MISC),
        _embedded("zh", types=NO_MISC),
        CorpusSpec(
            name="embedded-es-halves",  # for trying what a share of a target's labels brings
            language="es",
            files={"train": "es.test.bio", "test": "es.test.bio"},
            held_out=56,
            embedded=True,
        ),
    )
}


@dataclass(frozen=True)
class Statistics:
    """Sizes of one split. `docstarts` are among the sentences; their lines are not among the tokens."""

    sentences: int
    docstarts: int
    tokens: int
    entities: Mapping[str, int]  # by type


def load(name: str, split: str, *, data: str | Path | None = None) -> list[Sentence]:
    """The sentences of one split of a corpus, in file order.

    Args:
        name: a key of `CORPORA`.
        split: train, dev or test, where the corpus has it.
        data: folder or `s3://` prefix that holds a folder for each corpus; embedded corpora need none.

    Raises:
        FileNotFoundError: the corpus has no such file under `data`.
        ValueError: there is no such corpus or split, `data` is missing, or the file is not as it should be.
    """
    spec = _spec(name)
    if split not in spec.files:
        raise ValueError(f"{name} has no split {split!r}; ask for one of: {', '.join(spec.files)}")
    path = f"{_folder(spec, data)}/{spec.files[split]}"
    sentences = read_sentences(path, types=spec.types, sentence_end=spec.sentence_end)
    if spec.held_out is None:
        return sentences
    return _hold_out(path, sentences, spec.held_out)[split]


def statistics(sentences: Iterable[Sentence]) -> Statistics:
    """Counts sentences, documents' start lines, tokens, and entities by type."""
    n_sentences = docstarts = tokens = 0
    entities = Counter[str]()
    for sentence in sentences:
        n_sentences += 1
        docstarts += sentence.docstart
        tokens += 0 if sentence.docstart else len(sentence.words)
        entities.update(span.type for span in spans(sentence.labels))
    return Statistics(n_sentences, docstarts, tokens, dict(entities))


def _spec(name: str) -> CorpusSpec:
    if name not in CORPORA:
        raise ValueError(f"no corpus is named {name!r}; name one of: {', '.join(CORPORA)}")
    return CORPORA[name]


def _folder(spec: CorpusSpec, data: str | Path | None) -> str:
    if spec.embedded:
        return str(_EMBEDDED)
    if data is None:
        raise ValueError(
            f"{spec.name} does not come with the package; give the folder or s3:// prefix that holds "
            f"{spec.name}/{next(iter(spec.files.values()))} as --data"
        )
    return f"{str(data).rstrip('/')}/{spec.name}"


def _hold_out(path: str, sentences: list[Sentence], size: int) -> dict[str, list[Sentence]]:
    if len(sentences) <= size:
        raise ValueError(
            f"{path}: {len(sentences):,} sentences, expected more than the {size:,} held out for test; "
            "give the complete file"
        )
    held_out = set(random.Random(HOLD_OUT_SEED).sample(range(len(sentences)), size))
    return {
        "train": [sentence for i, sentence in enumerate(sentences) if i not in held_out],
        "test": [sentence for i, sentence in enumerate(sentences) if i in held_out],
    }


def _table(rows: Iterable[tuple[str, str, Statistics]], types: Sequence[str]) -> Table:
    table = Table("corpus", "split", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))  # fits in 80 columns
    for heading in ("sentences", "docstart", "tokens", *types):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, split, stats in rows:
        numbers = (stats.sentences, stats.docstarts, stats.tokens, *(stats.entities.get(type_, 0) for type_ in types))
        table.add_row(name, split, *(f"{number:,}" for number in numbers))
    return table


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = CommandParser("metaner_core.data.corpora", "Check labelled files and count what is in them.", EXAMPLES)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(CORPORA)}")
    parser.add_argument("--data", metavar="ROOT", help="folder or s3:// prefix that holds a folder for each corpus")
    parser.add_argument("--file", metavar="PATH", help="read this file instead of a named corpus")
    parser.add_argument("--types", default=",".join(TYPES), help="entity types of --file (default: %(default)s)")
    parser.add_argument("--sentence-end", metavar="WORD", help="for a --file without blank lines, such as .")
    arguments = parser.parse_args(argv)
    if arguments.file and (arguments.names or arguments.data):
        parser.error("--file reads one file, --data and NAME read named corpora: give one or the other")
    return arguments


def _named_rows(names: Sequence[str], data: str | None) -> list[tuple[str, str, Statistics]]:
    """One row a split; without names, the embedded corpora or, where there is a data folder, the others."""
    names = names or [spec.name for spec in CORPORA.values() if spec.embedded == (data is None)]
    return [(name, split, statistics(load(name, split, data=data))) for name in names for split in _spec(name).files]


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the table; 0 when every file could be read, otherwise 2 with the reason on standard error."""
    arguments = _arguments(argv)
    types = tuple(arguments.types.split(","))
    try:
        if arguments.file:
            sentences = read_columns(arguments.file, types=types, sentence_end=arguments.sentence_end)
            rows = [(Path(arguments.file).name, "-", statistics(sentences))]
        else:
            rows = _named_rows(arguments.names, arguments.data)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    Console().print(_table(rows, types))
    return 0


if __name__ == "__main__":
    sys.exit(main())
