"""What one tagger finds that another does not, on the same labelled sentences: how sure the difference is, and names.

    metaner evaluate --bundle out/teacher --corpus conll2003-de --data DATA --names out/teacher.parquet
    metaner evaluate --bundle out/student --corpus conll2003-de --data DATA --names out/student.parquet
    metaner compare out/teacher.parquet out/student.parquet

The first file is what the others are held against. Intervals are of sentences drawn again (paired bootstrap): what
another seed of either training would change is not in them.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from metaner_core.command import CommandParser, run
from metaner_core.data.tallies import Phrases, changes, matched
from metaner_core.experiments.names import GOLD, Named, read
from metaner_core.experiments.scored import ENGINES
from metaner_core.experiments.significance import Comparison, Counted, Resampled

EXAMPLES = (
    "out/teacher.parquet out/student.parquet",
    "out/teacher.parquet out/control.parquet out/student.parquet --unadapted --most 20",
)
KINDS = ("gained", "lost", "wrong, new", "wrong, gone")
LEGEND = (
    "Each file against the first. gained, lost: right names that it has more and fewer. wrong, new and gone: likewise "
    "of wrong ones.\nIntervals (95%): of sentences drawn again; another seed of either training is not in them."
)


@dataclass(frozen=True, kw_only=True)
class Change:
    """One test, before and after. f1: percent. names: by kind of change, how often each (name, type) is of it."""

    test: str
    sentences: int
    f1: tuple[float, float]
    comparison: Comparison
    names: Mapping[str, Counter[tuple[str, str]]]


def compare(before: Sequence[Named], after: Sequence[Named], engine: str | None = None) -> list[Change]:
    """The changes of each test that both have.

    engine: `unadapted` or `adapted`; None: adapted where a side has it. Raises ValueError when a side has no such
    engine, when they have no test in common, or the sentences or labels of one differ.
    """
    there = {test.test: test for test in before}
    both = [(there[test.test], test) for test in after if test.test in there]
    if not both:
        names = [", ".join(test.test for test in side) or "none" for side in (before, after)]
        raise ValueError(f"no test in common: {names[0]} and {names[1]}; score both bundles on the same --corpus")
    return [_change(a, b, engine) for a, b in both]


def alone(before: Sequence[Named], after: Sequence[Named]) -> list[str]:
    """The tests that one of the two has not, which `compare` leaves out."""
    sides = [[test.test for test in side] for side in (before, after)]
    return [test for test in dict.fromkeys([*sides[0], *sides[1]]) if not all(test in side for side in sides)]


def _change(before: Named, after: Named, engine: str | None) -> Change:
    if before.words != after.words or before.names[GOLD] != after.names[GOLD]:
        raise ValueError(
            f"{before.test}: not the same sentences and labels; score both on the same file, with one --limit"
        )
    gold, found = before.names[GOLD], [_found(side, engine) for side in (before, after)]
    counted = {name: _counted(gold, its) for name, its in zip(("before", "after"), found, strict=True)}
    comparison = Resampled(counted).comparison("after", "before")
    if comparison is None:
        raise AssertionError("both have seed 0")
    names: dict[str, Counter[tuple[str, str]]] = {kind: Counter() for kind in KINDS}
    for words, g, b, a in zip(before.words, gold, *found, strict=True):
        for kind, spans in changes(g, b, a).items():
            names[kind].update((" ".join(words[span.start : span.end]), span.type) for span in spans)
    f1 = counted["before"].f1(0), counted["after"].f1(0)
    return Change(test=before.test, sentences=len(gold), f1=f1, comparison=comparison, names=names)


def _found(side: Named, engine: str | None) -> Phrases:
    wanted = engine or side.engines[-1]
    if wanted not in side.engines:
        raise ValueError(f"{side.test} was not scored {wanted}: leave --{wanted} out, or score it again")
    return side.names[wanted]


def _counted(gold: Phrases, found: Phrases) -> Counted:
    predicted, correct = matched(gold, found)
    return Counted(np.array([len(g) for g in gold]), {0: predicted}, {0: correct})


def table(changed: Mapping[str, Sequence[Change]], engine: str | None = None) -> Table:
    """changed: by file, against the first. One row a test and file, and of several tests one of their means."""
    made = Table(title=f"What they find, {engine or 'adapted where a file has it'}", title_justify="left")
    made.caption, made.caption_justify = LEGEND, "left"
    for column in ("test", "sentences", "file", "F1 before", "after", "difference", "95%", *KINDS):
        words = column in ("test", "file")
        made.add_column(column, justify="left" if words else "right", overflow="fold", no_wrap=not words)
    for test in dict.fromkeys(change.test for of_file in changed.values() for change in of_file):
        for file, change in ((f, c) for f, of_file in changed.items() for c in of_file if c.test == test):
            sure = f"{change.comparison.low:+.2f} to {change.comparison.high:+.2f}"
            counts = [f"{change.names[kind].total():,}" for kind in KINDS]
            made.add_row(escape(test), f"{change.sentences:,}", escape(file), *_scores([change]), sure, *counts)
        made.add_section()
    for file, of_file in changed.items():
        if len(of_file) > 1:
            made.add_row(f"mean of {len(of_file)}", "", escape(file), *_scores(of_file))
    return made


def _scores(changes: Sequence[Change]) -> list[str]:
    """Means before and after, and how far they are apart."""
    before, after = (fmean(change.f1[side] for change in changes) for side in (0, 1))
    return [f"{before:.2f}", f"{after:.2f}", f"{after - before:+.2f}"]


def frequent(change: Change, most: int) -> Iterator[str]:
    """A line for each kind of change, with the names that are most often of it."""
    for kind in KINDS:
        names = [
            f"{name} ({type_}{f' {n}' if n > 1 else ''})" for (name, type_), n in change.names[kind].most_common(most)
        ]
        yield f"{kind}: {'; '.join(names) or 'none'}"


def main() -> None:
    parser = CommandParser("metaner_core.experiments.compare", "What taggers find that another does not.", EXAMPLES)
    parser.add_argument(
        "before", help="of `metaner evaluate --names`, local or s3://: what the others are held against"
    )
    parser.add_argument("after", nargs="+", help="likewise")
    which = parser.add_mutually_exclusive_group()
    for engine in ENGINES:
        told = f"compare what was found {engine} (default: adapted, of files that have it)"
        which.add_argument(f"--{engine}", dest="engine", action="store_const", const=engine, help=told)
    parser.add_argument("--most", type=int, default=8, help="names of each kind of change that are shown (default: 8)")
    options = parser.parse_args()
    if options.most < 0:
        raise ValueError(f"--most is {options.most}; it must be at least 0")
    console = Console(width=150, highlight=False)
    bundle, before = read(options.before)
    console.print(escape(f"{options.before}: of {bundle}"))
    others: dict[str, list[Named]] = {}
    for file in options.after:
        bundle, others[file] = read(file)
        console.print(escape(f"{file}: of {bundle}"))
    changed = {file: compare(before, after, options.engine) for file, after in others.items()}
    console.print(table(changed, options.engine))
    for file, after in others.items():
        for test in alone(before, after):
            console.print(escape(f"{test} is not compared: {options.before} or {file} does not have it"))
    for file, of_file in changed.items() if options.most else ():
        for change in of_file:
            console.print(f"\n[bold]{escape(change.test)}, {escape(file)}[/bold]")
            for line in frequent(change, options.most):
                console.print(f"  {escape(line)}")


if __name__ == "__main__":
    run(main)
