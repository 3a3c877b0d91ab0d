"""Evaluation as a Ray Data job: phrase-level scores of a bundle, without and with adaptation, side by side.

    laptop    python -m jobs.evaluate --bundle out/bundle
    one GPU   python -m jobs.evaluate --gpu --bundle out/bundle --corpus conll2002-es conll2002-nl --data DATA
    cluster   ray job submit --working-dir . -- python -m jobs.evaluate --gpu --actors 8 \\
                  --bundle s3://bucket/bundle --corpus conll2002-es --data s3://bucket/data --output s3://bucket/es.json

The types that count are the corpus's. One without MISC is scored without it, MISC in the bundle's predictions reads as
O there; and of one that has it each MISC is missed by a bundle that has not. The table says so.

--unadapted leaves adapting out, which takes more than half of the time. With --output an evaluation that was stopped
goes on from what is scored: the same command again. --names keeps the names of every sentence, for `metaner compare`.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from jobs.common.config import OptionsParser
from jobs.common.options import add_engine_option, add_ray_options, require_at_least, room
from jobs.common.session import connect
from jobs.scoring import parts
from jobs.scoring.result import ENGINES, Result, Test
from jobs.scoring.run import evaluate
from metaner_core import storage
from metaner_core.bundles import manifest as manifests
from metaner_core.command import EVERY_SECONDS, run, say
from metaner_core.data import corpora
from metaner_core.data.labels import spans
from metaner_core.data.scoring import Counts, scores
from metaner_core.engine.config import EngineConfig
from metaner_core.experiments import names
from metaner_core.settings import ADAPTING, Settings, parse_overrides

__all__ = ["ENGINES", "Result", "Test", "evaluate", "notes", "read_file", "read_tests", "table", "to_json"]

EXAMPLES = (
    "--bundle out/bundle",
    "--bundle out/bundle --corpus conll2002-es conll2002-nl --data DATA --actors 2 --output out/scores.json",
    "--bundle out/student --file mine.conll --unadapted --names out/student.parquet",
)
DEFAULT = ("embedded-es", "embedded-nl", "embedded-de", "embedded-fr", "embedded-zh")
PARTS = ".parts"  # behind the name of the output: what is scored so far


def notes(tests: Sequence[Test], types: Sequence[str]) -> list[str]:
    """How the types of the corpora differ from the bundle's, a line for each difference."""
    lines: dict[tuple[str, str], list[str]] = {}
    for test in tests:
        if more := [t for t in types if t not in test.types]:
            said = f"no {', '.join(more)} in", "what the bundle finds of it counts as nothing"
            lines.setdefault(said, []).append(test.name)
        if less := [t for t in test.types if t not in types]:
            said = f"{', '.join(less)}, which the bundle does not know, in", "all of it counts as missed"
            lines.setdefault(said, []).append(test.name)
    return [f"{what} {', '.join(names)}: {so}" for (what, so), names in lines.items()]


def table(results: Sequence[Result], *, by_type: bool = True, notes: Sequence[str] = ()) -> Table:
    """Precision, recall and F1 (percent) of every test, by each engine that scored, overall and by entity type."""
    caption = Text("\n".join(notes)) if notes else None  # names of files are no markup
    engines = list(results[0].counts) if results else list(ENGINES)
    title = f"Phrase-level scores, {' -> '.join(engines)}"
    found = Table(title=title, caption=caption, caption_justify="left")
    for name in ("test", "sentences", "type", "precision", "recall", "F1", *["difference"] * (len(engines) > 1)):
        found.add_column(name, justify="left" if name in ("test", "type") else "right")
    blank = scores(Counts()).overall
    for result in results:
        each = [result.scores(engine) for engine in engines]
        types = sorted({t for one in each for t in one.by_type}) if by_type else []
        lines = [("all", [one.overall for one in each])]
        lines += [(t, [one.by_type.get(t, blank) for one in each]) for t in types]
        for n, (kind, own) in enumerate(lines):
            figures = ([s.precision for s in own], [s.recall for s in own], [s.f1 for s in own])
            cells = [" -> ".join(f"{x:.2f}" for x in figure) for figure in figures]
            cells += [f"{own[-1].f1 - own[0].f1:+.2f}"] * (len(engines) > 1)
            head = (result.name, f"{result.sentences:,}") if n == 0 else ("", "")
            found.add_row(*head, kind, *cells, end_section=by_type and n == len(lines) - 1)
    return found


def to_json(
    uri: str,
    manifest: Mapping[str, Any],
    results: Sequence[Result],
    changes: Mapping[str, Any] | None = None,
    config: Mapping[str, Any] | None = None,
) -> bytes:
    """The results with their counts, which bundle they are of, with which settings and by which options."""
    tests = [
        {
            "test": r.name,
            "sentences": r.sentences,
            **{engine: _facts(r, engine) for engine in r.counts},
        }
        for r in results
    ]
    settings = {**manifest["settings"], **(changes or {})}
    facts = {
        "bundle": uri,
        "fingerprint": manifest["fingerprint"],
        "settings": settings,
        "config": config or {},
        "tests": tests,
    }
    return json.dumps(facts, indent=1).encode()


def _facts(result: Result, engine: str) -> dict[str, Any]:
    f1, counts = result.scores(engine).overall.f1, result.counts[engine].to_dict()
    return {"f1": f1, "counts": counts, "seconds": result.seconds[engine]}


def read_tests(names: Sequence[str], split: str, data: str | None, limit: int | None) -> list[Test]:
    """Tests by corpus name. Raises ValueError for an unknown corpus or split."""
    parts = {name: corpora.load(name, split, data=data)[:limit] for name in names}
    return [Test(name=name, sentences=part, types=corpora.CORPORA[name].types) for name, part in parts.items()]


def read_file(path: str, known: Sequence[str], types: Sequence[str] | None, limit: int | None) -> Test:
    """A test of a column file. types: that it has; None: those of `known` that are found in it."""
    sentences = corpora.read_sentences(path, types=types or known)
    found = {span.type for sentence in sentences for span in spans(sentence.labels)}
    counted = types or [t for t in known if t in found]
    return Test(name=path, sentences=sentences[:limit], types=tuple(counted))


def named(test: Test, result: Result) -> names.Named:
    """The names of a result that has them, with the sentences."""
    found = result.names or dict.fromkeys((names.GOLD, *result.counts), ())  # the latter of no sentences
    return names.Named(test=test.name, words=[s.words for s in test.scored()], names=found)


def main() -> None:
    parser = OptionsParser("jobs.evaluate", "Score a bundle on labelled corpora.", EXAMPLES)
    parser.add_argument("--bundle", required=True, help="folder or s3:// prefix")
    parser.add_argument("--corpus", nargs="+", default=DEFAULT, help=f"of {', '.join(corpora.CORPORA)}")
    parser.add_argument("--split", default="test")
    parser.add_argument("--data", help="folder or s3:// prefix that holds the corpora's folders")
    parser.add_argument("--file", help="your own column file in place of --corpus")
    parser.add_argument("--types", help="of --file, such as PER,LOC (default: those found in it)")
    fields = f"adapt otherwise than the bundle was made for: {', '.join(ADAPTING)}"
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help=fields)
    parser.add_argument("--unadapted", action="store_true", help="do not adapt: less than half of the time")
    parser.add_argument("--limit", type=int, help="only the first N sentences of each corpus")
    parser.add_argument("--actors", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1, help="threads of an actor without GPU (default: 1)")
    parser.add_argument("--output", help="a JSON file of the scores and counts; must not exist")
    kept = "a Parquet file of every sentence's names, those of the labels and those found; must not exist"
    parser.add_argument("--names", metavar="FILE", help=kept)
    told = f"between lines of progress (default: {EVERY_SECONDS})"
    parser.add_argument("--every-seconds", type=float, default=EVERY_SECONDS, help=told)
    add_engine_option(parser)
    add_ray_options(parser)
    options = parser.parse()
    if options.output:
        storage.require_unused(options.output, "result")
    if options.names:
        storage.require_unused(options.names, "file of names")
    require_at_least(options, limit=1, actors=1, threads=1)
    wanted = room(options, "actors")
    if options.file and list(options.corpus) != list(DEFAULT):
        parser.error("--file is scored in place of a --corpus: give one or the other")
    if options.types is not None and not options.file:
        parser.error("--types says what --file has; the types of a --corpus are known: leave it out")
    uri = storage.absolute(options.bundle)
    manifest = manifests.read(uri)
    manifests.require_usable(uri, manifest)
    types = manifest["settings"]["types"]
    if options.file:
        own = [t.strip() for t in options.types.split(",") if t.strip()] if options.types is not None else None
        if own == []:
            parser.error("--types names none; name some, such as PER,LOC, or leave it out for those found in --file")
        tests = [read_file(options.file, list(dict.fromkeys([*types, *corpora.TYPES])), own, options.limit)]
    else:
        tests = read_tests(options.corpus, options.split, options.data, options.limit)
    if options.names and manifest["settings"]["score_overlaps"]:
        parser.error(f"{uri} scores the overlaps of windows twice, so its names have no places: leave --names out")
    changes = parse_overrides(options.set)
    if options.unadapted and changes:
        parser.error(f"--set {options.set[0]} says how to adapt, --unadapted not to: leave one of them out")
    Settings.from_dict(manifest["settings"]).adapting(changes)  # tells what is wrong before any work
    connect(options.address, cpus=options.actors + 2, room=wanted)
    config = EngineConfig(options.engine, options.precision)
    where = {"actors": options.actors, "gpu": options.gpu, "threads": options.threads}
    so_far = storage.absolute(options.output) + PARTS if options.output else None
    how = {"config": config, "changes": changes, "unadapted": options.unadapted, "parts": so_far}
    how["names"] = bool(options.names)
    how["every"] = options.every_seconds
    results = evaluate(uri, tests, **how, **where)
    adapts = manifests.adapts(manifest)
    said = [*notes(tests, types), *([] if adapts else [f"the bundle {manifests.NO_NEIGHBOURS}"])]
    Console(width=120).print(table(results, notes=said))
    for engine in ENGINES if adapts and not options.unadapted else ENGINES[:1]:
        seconds, n = sum(r.seconds[engine] for r in results), sum(r.sentences for r in results)
        say(f"{engine}: {1000 * seconds / max(n, 1):.1f} ms a sentence on one actor")
    if options.names:
        names.write(options.names, uri, [named(t, r) for t, r in zip(tests, results, strict=True)])
        say(f"names written to {options.names}")
    if options.output:
        storage.write_whole(options.output, to_json(uri, manifest, results, changes, options.config))
        parts.forget(so_far or "")
        say(f"scores written to {options.output}")


if __name__ == "__main__":
    run(main)
