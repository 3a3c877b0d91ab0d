"""How fast one core makes text ready for a GPU, what an actor still does for a sentence itself, and what rows cost.

    make bench                                        after the engine's table
    python -m metaner_core.tagging.feeding
    python -m metaner_core.tagging.feeding --documents crawl.txt

Times are of the processor, one thread, the embedded tokenizer: they hardly mind what else the machine does. From them
follows how many cores feed a GPU that tags so many sentences a second (docs/findings/engine.md, "Fed by others").
"""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from rich.console import Console
from rich.table import Table
from transformers import PreTrainedTokenizerBase

from metaner_core.command import CommandParser
from metaner_core.data import corpora
from metaner_core.encoders.encoder import load_tokenizer
from metaner_core.method.adapt import GPU_BATCH, by_length
from metaner_core.model.encoding import LabelSet, collate
from metaner_core.model.inputs import Inputs
from metaner_core.model.tagger import decode
from metaner_core.settings import preset
from metaner_core.tagging.stages import passing
from metaner_core.tagging.stages.making import make
from metaner_core.tagging.stages.parts import Found
from metaner_core.tagging.stages.rows import row
from metaner_core.text import schema
from metaner_core.text.document import Document
from metaner_core.text.outcomes import Ready
from metaner_core.text.rules import BLOCK, Rules
from metaner_core.text.screening import screen

LANGUAGES = ("es", "nl", "de", "fr", "zh")
SENTENCES = 12  # of a document
ROUNDS = 5
RATES = (30_000, 12_000)  # sentences a second: of a GPU that tags, and of one that adapts
READER, ACTOR, WRITER = "a reader", "an actor", "a writer"
COSTS = ("screened", "made ready", "packed", "unpacked", "batched", "read off", "packed again", "made rows")


@dataclass
class Costs:
    """Seconds of the processor for a sentence: by what was done, one for each round."""

    taken: dict[str, list[float]] = field(default_factory=dict)

    def time(self, name: str, sentences: int, do: Callable[[], Any]) -> Any:
        started = time.process_time()
        result = do()
        self.taken.setdefault(name, []).append((time.process_time() - started) / sentences)
        return result

    def of(self, name: str) -> float:
        return statistics.median(self.taken[name])


class Kit(NamedTuple):
    """What there is of a bundle without its models."""

    inputs: Inputs
    tokenizer: PreTrainedTokenizerBase
    labels: LabelSet


def embedded(documents: int = 200) -> list[Document]:
    """Documents of embedded test sentences, the languages in turn; a language is to be found out."""
    tests = {language: corpora.load(f"embedded-{language}", "test") for language in LANGUAGES}
    found = []
    for n in range(documents):
        language = LANGUAGES[n % len(LANGUAGES)]
        start = n // len(LANGUAGES) * SENTENCES
        some = [tests[language][(start + i) % len(tests[language])] for i in range(SENTENCES)]
        lines = [("" if language == "zh" else " ").join(sentence.words) for sentence in some]
        found.append(Document(str(n), "\n".join(lines)))
    return found


def lines(path: str) -> list[Document]:
    """Documents of the lines of a text file."""
    text = Path(path).read_text(encoding="utf-8").splitlines()
    parts = (text[at : at + SENTENCES] for at in range(0, len(text), SENTENCES))
    return [Document(str(n), "\n".join(part)) for n, part in enumerate(parts)]


def measure(documents: Sequence[Document], rounds: int = ROUNDS) -> tuple[Costs, int]:
    """What a sentence costs at each step, and how many sentences there are. The first round warms up."""
    settings, tokenizer = preset("embedded"), load_tokenizer("embedded")
    kit = Kit(Inputs(tokenizer, settings), tokenizer, LabelSet.of(settings))
    many = _round(Costs(), documents, kit)
    costs = Costs()
    for _ in range(rounds):
        _round(costs, documents, kit)
    return costs, many


def _round(costs: Costs, documents: Sequence[Document], kit: Kit) -> int:
    inputs, rules = kit.inputs, Rules(lines=BLOCK)
    screened = [document for document in documents if isinstance(screen(document, rules), Ready)]
    sentences = sum(len(its) for its in make(inputs, screened, rules).inputs)

    def step(name: str, do: Callable[[], Any]) -> Any:
        return costs.time(name, sentences, do)

    step("screened", lambda: [screen(document, rules) for document in screened])
    made = step("made ready", lambda: make(inputs, screened, rules))
    texts, ready = step("packed", lambda: (_sent(passing.texts(made)), _sent(passing.inputs(made))))
    unpacked = step("unpacked", lambda: passing.sentences(pa.ipc.open_stream(ready).read_all(), inputs.encode))
    encoded = [sentence.tagging for sentence in chain.from_iterable(unpacked)]
    orders = list(by_length(encoded, GPU_BATCH))
    batches = step("batched", lambda: [collate([encoded[i] for i in order], kit.tokenizer) for order in orders])
    logits = [torch.zeros(len(batch.row), len(kit.labels.names)) for batch in batches]
    step("read off", lambda: [decode(*pair, kit.labels) for pair in zip(logits, batches, strict=True)])
    found = [[_found(len(sentence.tagging.first)) for sentence in document] for document in unpacked]
    again = step("packed again", lambda: _sent(passing.found_table(found)))
    step("made rows", lambda: _rows(texts, again))
    return sentences


def _found(words: int) -> Found:
    """A name of two words in ten."""
    labels = tuple(("B-PER", "I-PER", *"OOOOOOOO")[n % 10] for n in range(words))
    return Found(1, labels, (0.5,) * words, ((1, 0.5), (2, 0.4)))


def _sent(table: pa.Table) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return sink.getvalue()


def _rows(texts: pa.Buffer, found: pa.Buffer) -> None:
    """To the bytes of a Parquet file."""
    documents = passing.documents(pa.ipc.open_stream(texts).read_all())
    words = [[len(s) for s in document.sentences] for document in documents if isinstance(document, Ready)]
    labels = passing.found(pa.ipc.open_stream(found).read_all(), words)
    tagged, _ = schema.tables(map(row, documents, labels))
    pq.write_table(tagged, pa.BufferOutputStream(), compression="zstd")


def totals(costs: Costs) -> dict[str, float]:
    """Seconds for a sentence of each kind of worker."""
    parts = {READER: ("made ready", "packed"), WRITER: ("made rows",)}
    parts[ACTOR] = ("unpacked", "batched", "read off", "packed again")
    return {worker: sum(map(costs.of, names)) for worker, names in parts.items()}


def main() -> None:
    parser = CommandParser("metaner_core.tagging.feeding", "How many cores feed a GPU.", ("--documents crawl.txt",))
    parser.add_argument("--documents", help=f"a text file, {SENTENCES} lines a document (default: embedded sentences)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    costs, sentences = measure(lines(options.documents) if options.documents else embedded())
    table = Table(title=f"One core, {sentences:,} sentences")
    for column in ("", "ms a sentence", "sentences a second"):
        table.add_column(column, justify="left" if not column else "right")
    for name, seconds in [*((name, costs.of(name)) for name in COSTS), *totals(costs).items()]:
        table.add_row(name, f"{1000 * seconds:.4f}", f"{1 / seconds:,.0f}")
    console = Console(width=100)
    console.print(table)
    of = totals(costs)
    for rate in RATES:
        cores = ", ".join(f"{of[worker] * rate:.1f} of {worker}" for worker in (READER, WRITER, ACTOR))
        console.print(f"{rate:,} sentences a second take cores: {cores}")


if __name__ == "__main__":
    main()
