"""How many support sets and source sentences raw text needs, the more of it there is: what the engine can share.

    python -m metaner_core.bundles.growth --encoder embedded --source conll2003-en --data DATA \\
        --text es es.txt.xz --text de de.txt.xz --most 100000 --output out/growth

A set is adapted to once, a source sentence goes forward and backward once or a little more often, however many
sentences want it: the fewer there are for each sentence, the less adapting costs.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from metaner_core import storage
from metaner_core.bundles.neighbours import add_retrieval, retrieval_of
from metaner_core.command import CommandParser, require_extra, run, say
from metaner_core.text import raw

EXAMPLES = ("--bundle out/bundle --text es es.txt.xz", "--encoder embedded --text de de.txt --output out/growth")
STEPS = (1, 2, 5)  # times 10, 100, ...
AT_ONCE = 10_000  # sentences whose neighbours are sought at once
COVER = 100  # of the sources, the most frequent


@dataclass(frozen=True)
class Point:
    """Among so many sentences: distinct support sets, source sentences in them, and what share of all places in support
    sets the COVER most frequent source sentences take."""

    sentences: int
    sets: int
    sources: int
    covered: float


def points(support: np.ndarray) -> list[Point]:
    """support: [n, K] ids, of sentences as they come. A point at 10, 20, 50, 100, ... and at the end."""
    return [_point(support[:n]) for n in _counts(len(support))]


def _point(support: np.ndarray) -> Point:
    places = np.unique(support, return_counts=True)[1]
    covered = np.sort(places)[::-1][:COVER].sum() / places.sum()
    return Point(len(support), len(np.unique(np.sort(support, axis=1), axis=0)), len(places), float(covered))


def _counts(most: int) -> list[int]:
    found = (step * 10**power for power in range(1, len(str(most))) for step in STEPS)
    return sorted({*(n for n in found if n < most), most} - {0})


def table(found: Mapping[str, Sequence[Point]], title: str) -> Table:
    made = Table(title=title, title_justify="left")
    for column in ("", "sentences", "sets", "a sentence", "sources", "sentences a source", f"first {COVER} cover"):
        made.add_column(column, justify="right" if column else "left")
    for name, of in found.items():
        for point in of:
            shares = f"{point.sets / point.sentences:.2f}", f"{point.sentences / point.sources:.1f}"
            counts = f"{point.sentences:,}", f"{point.sets:,}", shares[0], f"{point.sources:,}", shares[1]
            made.add_row(name, *counts, f"{point.covered:.2f}")
    return made


def draw(found: Mapping[str, Sequence[Point]], path: Path, *, source: int) -> None:
    """Sets and sources against sentences. source: how many source sentences there are."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import StrMethodFormatter

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for name, of in found.items():
        sentences = [point.sentences for point in of]
        (line,) = axes.plot(sentences, [point.sets for point in of], marker="o", label=f"{name}: support sets")
        sources = [point.sources for point in of]
        axes.plot(sentences, sources, marker="s", ls="--", color=line.get_color(), label=f"{name}: source sentences")
    axes.plot(sentences, sentences, color="0.7", lw=1, label="one for each sentence")
    axes.axhline(source, color="0.7", lw=1, ls=":", label="all source sentences")
    axes.set(xscale="log", yscale="log", xlabel="sentences, as they come", ylabel="distinct")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = CommandParser("metaner_core.bundles.growth", "Support sets and sources of raw text.", EXAMPLES)
    add_retrieval(parser)
    text = "raw text: a file or folder, plain or compressed; may be given several times"
    parser.add_argument("--text", nargs=2, action="append", metavar=("LANGUAGE", "FILE"), required=True, help=text)
    parser.add_argument("--most", type=int, default=10_000, help="sentences of each text (default: 10000)")
    parser.add_argument("--output", help="a folder for growth.json and growth.svg")
    options = parser.parse_args(arguments)
    if options.most < 1:
        parser.error(f"--most {options.most}: at least 1 sentence must be looked at")
    if options.output:
        storage.require_unused(options.output, "result")
        require_extra("--output", "bench", "matplotlib")  # for growth.svg
    console, found = Console(width=110), {}
    with console.status("encoding the source sentences") as status:
        support, source, settings = retrieval_of(options)
        for language, uri in options.text:
            status.update(f"{language}: {uri}")
            sentences = raw.sentences(uri, language, options.most)
            parts = []
            for at in range(0, len(sentences), AT_ONCE):
                parts.append(support(sentences[at : at + AT_ONCE])[0])
                say(f"{language}: {min(at + AT_ONCE, len(sentences)):,} of {len(sentences):,} sentences")
            found[language] = points(np.concatenate(parts))
    console.print(table(found, f"K = {settings.neighbours} of {len(source):,} source sentences"))
    if options.output:
        folder = Path(options.output)
        draw(found, folder / "growth.svg", source=len(source))
        rows = {name: [asdict(point) for point in of] for name, of in found.items()}
        facts = {"source": len(source), "neighbours": settings.neighbours, "texts": rows}
        (folder / "growth.json").write_text(json.dumps(facts, indent=1))


if __name__ == "__main__":
    run(main)
