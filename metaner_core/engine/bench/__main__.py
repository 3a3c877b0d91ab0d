"""How fast all of it is on this machine: tables from one run, without Ray.

    make bench                                           all shapes on this machine, with a plot
    python -m metaner_core.engine.bench --shape embedded --threads 2
    python -m metaner_core.engine.bench --shape embedded --whole 1000 10000 100000 --no-parts \\
        --text es es.txt.xz --source conll2003-en --data DATA
    python -m metaner_core.engine.bench --device cuda --precision bf16

Only ratios between rows of one table mean something. Every row is warmed up and then measured in turn with the others,
several rounds of it, two of a table of all of it. A ratio is taken within each round, where the machine is most alike;
the median counts, and the least and the greatest stand beside it. The reference loop runs under the same settings of
allocator and threads; it adapts by Adam, and so do all rows but those that say thin.

A table of parts has each part of the engine, with what it needs at hand. A table of all of it has what a user waits
for: from words to predictions, retrieval too, neighbours as they come.
"""

import argparse
import dataclasses
import json
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from metaner_core import command, storage
from metaner_core.command import CommandParser, require_extra
from metaner_core.data import corpora
from metaner_core.engine.bench.measure import run
from metaner_core.engine.bench.rows import CPU_WAVES, GPU_SIZES, GPU_WAVES, SIZES, by_wave, measurements, sharing, whole
from metaner_core.engine.bench.show import draw, machine, table
from metaner_core.engine.bench.workload import SHAPES, Workload
from metaner_core.settings import parse_overrides
from metaner_core.text import raw

WHOLE_ROUNDS = 2  # of a table of all of it, whose rows take minutes each
EXAMPLES = (
    "--output out/bench",
    "--shape embedded --threads 2",
    "--shape embedded --no-parts --whole 10000 --text es es.txt.xz",
    "--shape bert-base --no-parts --set layer=3",
    "--device cuda --precision bf16",
)


def main() -> None:
    options = _options()
    torch.set_num_threads(options.threads)
    console, results = Console(width=130), {}
    for shape in options.shape:
        results[shape] = _of_shape(shape, options, console)
    if options.output:
        folder = Path(options.output)
        if options.parts:
            draw(results, folder / "bench.svg")
        facts = {"machine": machine(), "python": platform.python_version(), "precision": options.precision}
        facts["set"] = options.changes
        text = json.dumps({**facts, "shapes": results}, indent=1, default=dataclasses.asdict)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "bench.json").write_text(text)
        console.print(f"written to {folder}")


def _of_shape(shape: str, options: argparse.Namespace, console: Console) -> dict[str, Any]:
    on_cpu = options.device == "cpu"
    size = (SIZES if on_cpu else GPU_SIZES)[shape]
    found: dict[str, Any] = {"rows": [], "waves": {}, "whole": {}}
    name = ", ".join([shape, *options.set])
    with console.status(shape) as status:
        counts = size.whole if options.whole is None else options.whole
        work = _workload(shape, options, most=max([size.engine, *counts]))
        if options.parts:
            found["rows"] = run(measurements(work, size), rounds=options.rounds, tell=status.update)
            console.print(table(name, found["rows"]))
            found["waves"] = by_wave(work, size, CPU_WAVES if on_cpu else GPU_WAVES)
        for count in counts:
            title = f"{name}: {sharing(work, count)}"
            rows = run(whole(work, count), rounds=min(options.rounds, WHOLE_ROUNDS), tell=status.update)
            console.print(table(title, rows))
            found["whole"][count] = {"title": title, "rows": rows}
    return found


def _workload(shape: str, options: argparse.Namespace, *, most: int) -> Workload:
    """most: sentences that are wanted of the texts."""
    words: list[Sequence[str]] | None = None
    if options.text:
        each = -(-most // len(options.text))
        words = [sentence for language, uri in options.text for sentence in raw.sentences(uri, language, each)]
    source = [s for s in corpora.load(options.source, "train", data=options.data) if s.words]
    return Workload(shape, options.device, options.precision, words=words, source=source, changes=options.changes)


def _options() -> argparse.Namespace:
    parser = CommandParser("metaner_core.engine.bench", "Measure the speed of tagging and training.", EXAMPLES)
    parser.add_argument("--shape", nargs="+", default=list(SHAPES), choices=SHAPES)
    parser.add_argument("--no-parts", dest="parts", action="store_false", help="leave out the tables of parts")
    parser.add_argument(
        "--whole", nargs="*", type=int, metavar="N", help="sentences of each table of all of it; none: no such table"
    )
    text = "raw text to tag, a file or folder, plain or compressed; may be given several times (default: embedded)"
    parser.add_argument("--text", nargs=2, action="append", metavar=("LANGUAGE", "FILE"), help=text)
    parser.add_argument("--source", default="embedded-en", help="a corpus: its train sentences are adapted to")
    parser.add_argument("--data", help="folder or s3:// prefix that holds the corpora's folders")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--precision", default="fp32", choices=("fp32", "bf16"), help="of batched engine and retrieval")
    sets = "replace a setting of each shape's preset, such as the layer by which neighbours are found"
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help=sets)
    rounds = f"after one to warm up (of all of it: {WHOLE_ROUNDS} at most)"
    parser.add_argument("--rounds", type=int, default=5, help=rounds)
    parser.add_argument("--output", help="a folder for bench.json and bench.svg")
    options = parser.parse_args()
    options.changes = parse_overrides(options.set)
    if "adapt_optimizer" in options.changes:
        parser.error("--set adapt_optimizer: each row has an optimiser of its own, so leave it out")
    if options.rounds < 1:
        parser.error(f"--rounds {options.rounds}: at least 1 must be measured")
    if options.whole and min(options.whole) < 1:
        parser.error(f"--whole {min(options.whole)}: at least 1 sentence must be tagged")
    if options.output:
        storage.require_unused(options.output, "benchmark")
        if options.parts:
            require_extra("--output", "bench", "matplotlib")  # for bench.svg
    return options


if __name__ == "__main__":
    command.run(main)
