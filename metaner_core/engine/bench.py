"""How fast tagging, adapting and meta-training are on this machine: one table, all of it from one run, without Ray.

    make bench                                           both shapes on this machine, with a plot
    python -m metaner_core.engine.bench --shape embedded --threads 2
    python -m metaner_core.engine.bench --device cuda --precision bf16

Only ratios between rows of one run mean something. Every row is warmed up and then measured in turn with the others,
several rounds of it. A ratio is taken within each round, where the machine is most alike; the median counts, and the
least and the greatest stand beside it. The reference loop runs under the same settings of allocator and threads; it
adapts by Adam, and so do all rows but those that say thin.
"""

import copy
import ctypes
import dataclasses
import json
import platform
import statistics
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from transformers import (
    AutoModelForTokenClassification,
    BertConfig,
    BertModel,
    PreTrainedModel,
    TokenClassificationPipeline,
)

from metaner_core import storage
from metaner_core.command import CommandParser
from metaner_core.data import corpora
from metaner_core.encoders.encoder import load_encoder
from metaner_core.engine.adapting import BatchedEngine
from metaner_core.engine.meta_training import in_chunks
from metaner_core.method.adapt import Engine
from metaner_core.method.meta_train import MetaTrainer
from metaner_core.method.retrieval import SupportIndex
from metaner_core.method.tasks import Task, Tasks
from metaner_core.model.encoding import Encoded, Encoding, LabelSet
from metaner_core.model.sentence_vectors import SentenceVectors
from metaner_core.model.tagger import Tagger
from metaner_core.settings import preset

EXAMPLES = ("--output out/bench", "--shape embedded --threads 2", "--device cuda --precision bf16")
GROUPS = (1, 4, 16)  # sentences for each distinct support set
REFERENCE = "reference loop"
THIN, SCALED = "thin", "thin and scaled"  # rows of what adapts without forming gradients: sgd, scaled_sgd
PIPELINE = "transformers.pipeline"  # what one would take instead for tagging without adaptation; makes subwords too
MAKING = "plain tagging, making subwords too"
CPU_PADDED, GPU_PADDED = 16, 256  # sentences in one of the pipeline's batches
T = TypeVar("T")


@dataclass(frozen=True)
class Size:
    """How much work a measurement of each kind is: sentences through the loop and through the engine, tasks."""

    loop: int
    engine: int
    tasks: int


SIZES = {"embedded": Size(32, 512, 32), "bert-base": Size(4, 48, 16)}
CPU_WAVES, GPU_WAVES = (500, 2_000, 6_000, 20_000, 60_000), (6_000, 20_000, 60_000, 200_000, 600_000)
GPU_SIZES = {"embedded": Size(64, 4096, 64), "bert-base": Size(64, 2048, 32)}


@dataclass(frozen=True)
class Row:
    """A measurement: each round's seconds for a sentence (or meta-update of 32 tasks); the most memory taken, MiB."""

    name: str
    unit: str
    taken: tuple[float, ...]
    memory: float

    @property
    def seconds(self) -> float:
        return statistics.median(self.taken)

    @property
    def rate(self) -> float:
        return 1 / self.seconds

    def times(self, other: "Row") -> list[float]:
        """How many times the other's seconds these are, round by round."""
        return [mine / its for mine, its in zip(self.taken, other.taken, strict=True)]


class Workload:
    """A tagger of one shape, the embedded English sentences as source, the embedded test sets' as queries."""

    def __init__(self, shape: str, device: str, precision: str) -> None:
        settings = preset("embedded" if shape == "embedded" else "paper", adapt_optimizer="adam", gamma=1e-4)
        encoder, tokenizer = load_encoder("embedded")
        if shape != "embedded":
            encoder = _bert_base(len(tokenizer))
        encode = Encoding(tokenizer, settings)
        self.source = [encode(s.words, s.labels) for s in corpora.load("embedded-en", "train")]
        tests = (f"embedded-{language}" for language in ("es", "nl", "de", "fr", "zh"))
        asked_for = [s.words for name in tests for s in corpora.load(name, "test")]
        self.encode, self.words = encode, asked_for
        self.texts = [" ".join(words) for words in asked_for]
        self.queries = [encode(words) for words in asked_for]
        encoder.to(device)  # type: ignore[arg-type]
        labels = LabelSet.of(settings)
        tagger = Tagger(encoder, len(labels.names), settings).to(device)
        self.reference = Engine(tagger, tokenizer, labels, settings, self.source, device)
        parts = {f.name: getattr(self.reference, f.name) for f in dataclasses.fields(Engine)}
        self.batched = BatchedEngine(**parts, precision=precision)
        of = SentenceVectors(encoder, tokenizer, window=settings.window)
        vectors, asked = (of([s.ids for s in part]) for part in (self.source, self.queries))
        self.nearest = SupportIndex(vectors).search(asked, settings.neighbours)[0]
        itself = range(len(vectors))
        self.support = SupportIndex(vectors).search(vectors, settings.neighbours, without=itself)[0]

    def adapting(self, kind: str) -> BatchedEngine:
        """The batched engine with another optimiser of the adaptation."""
        settings = dataclasses.replace(self.batched.settings, adapt_optimizer=kind)
        return dataclasses.replace(self.batched, settings=settings)

    def pipeline(self) -> TokenClassificationPipeline:
        """transformers' own tagger, with copies of the same weights."""
        tagger = self.reference.tagger
        encoder: Any = tagger.encoder
        config = copy.deepcopy(encoder.config)
        config.num_labels = tagger.classifier.out_features
        model = AutoModelForTokenClassification.from_config(config)
        getattr(model, model.base_model_prefix).load_state_dict(encoder.state_dict())
        model.classifier.load_state_dict(tagger.classifier.state_dict())
        return TokenClassificationPipeline(
            model=model, tokenizer=self.reference.tokenizer, device=torch.device(self.reference.device)
        )

    def distinct(self, count: int) -> list[Encoded]:
        """So many different sentences; where the test sets end, they go on with a last word of their own."""
        found = []
        for n in range(count):
            sentence = self.queries[n % len(self.queries)]
            ids = (*sentence.ids[:-1], 1_000 + n // len(self.queries)) if n >= len(self.queries) else sentence.ids
            found.append(dataclasses.replace(sentence, ids=ids))
        return found

    def sets(self, count: int, group: int) -> np.ndarray:
        """Random support sets, each for `group` sentences in a row; no source sentence is in two if that can be."""
        rng = np.random.default_rng(0)
        needed = -(-count // group) * 2
        ids = np.concatenate([rng.permutation(len(self.source)) for _ in range(needed // len(self.source) + 1)])
        return np.repeat(ids[:needed].reshape(-1, 2), group, axis=0)[:count]


def _bert_base(vocabulary: int) -> PreTrainedModel:
    torch.manual_seed(0)
    return BertModel(BertConfig(vocab_size=vocabulary), add_pooling_layer=False).eval()


def measurements(work: Workload, size: Size) -> dict[str, tuple[str, float, Callable[[], Any]]]:
    """For each row's name its unit, how many units a call computes, and the call."""
    few, many = work.distinct(size.loop), work.distinct(size.engine)
    alone, nearest = work.sets(size.loop, 1), np.resize(work.nearest, (size.engine, 2))
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
    tasks = Tasks(work.support, dataclasses.replace(work.reference.settings, tasks_per_update=size.tasks)).of_update(0)
    for name, together in (("meta-training, reference loop", None), ("meta-training, batched", in_chunks)):
        trainer = MetaTrainer(work.batched, work.support, [], together=together)
        found[name] = ("meta-update", size.tasks / 32, partial(_gradients, trainer, tasks))
    return found


def _again(texts: Sequence[T], count: int) -> list[T]:
    """So many of the texts, from the first one on again where they end."""
    return [texts[n % len(texts)] for n in range(count)]


def _made_and_tagged(work: Workload, many: Sequence[Encoded]) -> None:
    for words in _again(work.words, len(many)):
        work.encode(words)
    work.batched.plain(many)  # which are distinct, where the words may be there twice


def _padded(tagger: TokenClassificationPipeline, texts: Sequence[str]) -> None:
    """texts: in the order of their lengths, so that there is little padding."""
    tagger(list(texts), batch_size=CPU_PADDED if tagger.device.type == "cpu" else GPU_PADDED)


def _gradients(trainer: MetaTrainer, tasks: Sequence[Task]) -> None:
    for _ in trainer.gradients(tasks, 1e-4):
        pass


def run(work: Workload, size: Size, *, rounds: int, tell: Callable[[str], None]) -> list[Row]:
    """Every measurement `rounds` times, in turn."""
    todo = measurements(work, size)
    taken: dict[str, list[float]] = {name: [] for name in todo}
    memory = dict.fromkeys(todo, 0.0)
    for number in range(rounds + 1):
        for name, (_, units, call) in todo.items():
            tell(f"round {number}/{rounds}: {name}")
            if not number:  # the first round warms up, and shows how much memory it takes
                memory[name] = most_memory(call)
                continue
            started = time.perf_counter()
            call()
            _wait()
            taken[name].append((time.perf_counter() - started) / units)
    return [Row(name, todo[name][0], tuple(seconds), memory[name]) for name, seconds in taken.items()]


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def most_memory(call: Callable[[], Any]) -> float:
    """The most memory in MiB that a call takes beyond what is taken before: of the GPU if there is one, else of glibc's
    malloc, looked at every other millisecond."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    before = most = _allocated()
    ended = threading.Event()

    def watch() -> None:
        nonlocal most
        while not ended.wait(0.002):
            most = max(most, _allocated())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        call()
    finally:
        ended.set()
        thread.join()
    return (most - before) / 2**20


class _Mallinfo(ctypes.Structure):
    """glibc's struct mallinfo2."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]


def _allocated() -> int:
    """Bytes that the process has from glibc and has not given back; the process's own size says nothing, for freed
    memory is kept for the next tensor."""
    ask = ctypes.CDLL(None).mallinfo2
    ask.restype = _Mallinfo
    found = ask()
    return int(found.uordblks + found.hblkhd)


def by_wave(work: Workload, size: Size, budgets: Sequence[int]) -> dict[int, float]:
    """Sentences a second for budgets of tokens a wave, nearest neighbours' support sets."""
    many = work.distinct(size.engine)
    nearest = np.resize(work.nearest, (size.engine, 2))
    found = {}
    for budget in budgets:
        engine = dataclasses.replace(work.batched, tokens=budget)
        started = time.perf_counter()
        engine.adapted(many, nearest)
        _wait()
        found[budget] = len(many) / (time.perf_counter() - started)
    return found


def table(shape: str, rows: Sequence[Row]) -> Table:
    loop = {row.unit: row for row in rows if REFERENCE in row.name}
    made = Table(title=f"{shape}: {_machine()}", title_justify="left")
    for column in ("", "a second", "ms each", "times the loop", "times plain tagging's cost", "MiB"):
        made.add_column(column, justify="left" if not column else "right")
    for row in rows:
        cost = _spread(row.times(rows[0])) if row.unit == "sentence" else ""
        facts = (f"{row.rate:,.2f}", f"{row.seconds * 1e3:,.2f}", _spread(loop[row.unit].times(row)), cost)
        made.add_row(row.name, *facts, f"{row.memory:,.0f}")
    return made


def _spread(ratios: Sequence[float]) -> str:
    """The median, and from the least to the greatest."""
    least, most = (f"{ratio:.3g}" for ratio in (min(ratios), max(ratios)))
    return f"{statistics.median(ratios):.3g}" + (f" ({least}-{most})" if least != most else "")


def _machine() -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    model = next((x for x in Path("/proc/cpuinfo").read_text().splitlines() if x.startswith("model name")), ": CPU")
    return f"{model.split(': ')[1]}, {torch.get_num_threads()} thread(s), torch {torch.__version__}"


def draw(results: Mapping[str, Any], path: Path) -> None:
    """Throughput against group size and against tokens a wave, for every shape."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for shape, found in results.items():
        rate = {row.name: row.rate for row in found["rows"]}
        groups = [rate[name] for name in rate if name.startswith("batched, ") and "nearest" not in name]
        (line,) = left.plot(GROUPS, groups, marker="o", label=f"{shape}, adapted")
        left.axhline(rate["plain tagging"], color=line.get_color(), ls=":", label=f"{shape}, plain")
        left.axhline(rate[REFERENCE], color=line.get_color(), ls="--", label=f"{shape}, loop")
        budgets = list(map(int, found["waves"]))
        right.plot(budgets, list(found["waves"].values()), marker="o", color=line.get_color())
    left.set(xlabel="sentences a support set")
    right.set(xlabel="tokens a wave (nearest neighbours)")
    for axes in (left, right):
        axes.set(ylabel="sentences a second", xscale="log", yscale="log")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
            axis.set_minor_formatter(NullFormatter())
        axes.grid(alpha=0.3)
    left.set_xticks(GROUPS, [str(g) for g in GROUPS])
    right.set_xticks(budgets, [f"{b:,}" for b in budgets])
    figure.legend(loc="outside lower center", ncols=len(results), fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def main() -> None:
    parser = CommandParser("metaner_core.engine.bench", "Measure the engine's speed.", EXAMPLES)
    parser.add_argument("--shape", nargs="+", default=list(SIZES), choices=SIZES)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--precision", default="fp32", choices=("fp32", "bf16"), help="of the batched engine")
    parser.add_argument("--rounds", type=int, default=5, help="after one to warm up")
    parser.add_argument("--output", help="a folder for bench.json and bench.svg")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error(f"--rounds {options.rounds}: at least 1 must be measured")
    if options.output:
        storage.require_unused(options.output, "benchmark")
    torch.set_num_threads(options.threads)
    console, results = Console(width=130), {}
    for shape in options.shape:
        with console.status(shape) as status:
            work = Workload(shape, options.device, options.precision)
            size = (SIZES if options.device == "cpu" else GPU_SIZES)[shape]
            rows = run(work, size, rounds=options.rounds, tell=status.update)
            console.print(table(shape, rows))
            waves = by_wave(work, size, CPU_WAVES if options.device == "cpu" else GPU_WAVES)
        results[shape] = {"rows": rows, "waves": waves}
    if options.output:
        folder = Path(options.output)
        draw(results, folder / "bench.svg")
        facts = {"machine": _machine(), "python": platform.python_version(), "precision": options.precision}
        text = json.dumps({**facts, "shapes": results}, indent=1, default=dataclasses.asdict)
        (folder / "bench.json").write_text(text)
        console.print(f"written to {folder}")


if __name__ == "__main__":
    main()
