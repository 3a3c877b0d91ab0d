"""The report of a tagging run: one self-contained HTML page, made from the run's own records.

Pictures are shapes without letters, stretched to any width; their labels and numbers stand beside them as text.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from metaner_core import storage
from metaner_core.data.labels import TYPES
from metaner_core.encoders.made_for import knows
from metaner_core.report.dataset_card import entities_query
from metaner_core.report.markup import language_name, pieces, template
from metaner_core.report.sketches import Frequent
from metaner_core.report.summary import BINS, KINDS, Counts, Summary
from metaner_core.report.throughput import Shard, over_time
from metaner_core.report.units import duration, moment, share, size
from metaner_core.text.languages import primary, wider
from metaner_core.text.schema import SURE, TAGGED

__all__ = ["Shard", "render", "write_report"]

LANGUAGES = 15  # shown one by one: those with most documents; the others together
FREQUENT = 12  # entities of each type
REASONS = 40
FACTS = ("input", "bundle", "rules", "settings", "engine", "versions")  # of the manifest
MEANINGS = {
    "tagged": "entities marked, or none found",
    "empty": "no words in it",
    "filtered": "turned away by a rule of this run",
    "rejected": "could not be read or tagged",
}


def write_report(uri: str, manifest: Mapping[str, Any], summary: Summary, shards: Iterable[Shard]) -> None:
    """Write the report to a local path or s3:// key; an earlier one, made of the same records, is replaced."""
    storage.write_bytes(uri, render(manifest, summary, shards).encode(errors="backslashreplace"))


def render(manifest: Mapping[str, Any], summary: Summary, shards: Iterable[Shard]) -> str:
    """The report as HTML.

    manifest: of the run. Of its entries output, input, bundle, rules, settings, engine, versions, tables, adapted,
    started and finished (Unix seconds) those are shown that it has. shards: all of the run, in any order, also of
    earlier attempts.
    """
    types = [*TYPES, *sorted(summary.total.entities.keys() - {*TYPES})]
    kinds = sorted(summary.kinds.values(), key=lambda kind: (kind.outcome, -kind.documents))
    return template("report.html").render(
        manifest={"output": "", "tables": {}, "started": None, "finished": None, **manifest},
        summary=summary,
        total=summary.total,
        types=types,
        meanings=MEANINGS,
        languages=(languages := _languages(summary)),
        strange=_strange(manifest, summary),
        widest=max((counts.entities.total() for *_, counts in languages), default=0),
        pace=over_time(shards),
        frequent=[(type_, _frequent(summary, type_)) for type_ in types if summary.total.entities[type_]],
        least=SURE,
        sure=sum(sum(bins[round(SURE * BINS) :]) for bins in summary.scores.values()),
        scores=[(type_, summary.scores[type_]) for type_ in types if type_ in summary.scores],
        bins=[(i / BINS, (i + 1) / BINS) for i in range(BINS)],
        kinds=kinds[:REASONS],
        more_kinds=max(0, len(kinds) - REASONS),
        kinds_are_all=len(kinds) < KINDS,
        samples=[(name, sample, _marked(sample)) for name, sample in summary.samples.items()],
        query=entities_query(str(manifest.get("output") or "output")),
        facts=[(name, list(_flat(manifest[name]))) for name in FACTS if manifest.get(name)],
        share=share,
        size=size,
        moment=moment,
        duration=duration,
    )


def _languages(summary: Summary) -> list[tuple[str, str, Counts]]:
    """Code, name and counts, most documents first."""
    ordered = sorted(summary.languages.items(), key=lambda item: (-item[1].documents, item[0]))
    found = [(code, language_name(code) if code else "Not known", counts) for code, counts in ordered[:LANGUAGES]]
    if others := ordered[LANGUAGES:]:
        name = f"{len(others)} other language" + "s" * (len(others) > 1)
        found.append(("", name, sum((counts for _, counts in others), Counts())))
    return found


def _strange(manifest: Mapping[str, Any], summary: Summary) -> dict[str, str]:
    """Languages of tagged documents that the bundle's encoder was not made for, by code: their names."""
    encoder = manifest.get("bundle", {}).get("encoder") or ""
    tagged = [code for code, counts in summary.languages.items() if code and counts.outcomes[TAGGED]]
    return {code: language_name(code) for code in tagged if _made_for(encoder, code) is False}


def _made_for(encoder: str, code: str) -> bool | None:
    """Or for the macrolanguage that it belongs to."""
    language = primary(code) or code
    return knows(encoder, language) or (knows(encoder, wider(language) or language))


def _frequent(summary: Summary, type_: str) -> list[tuple[str, int]]:
    prefix = f"{type_} "
    found = [(key.removeprefix(prefix), n) for key, n in summary.frequent.top(Frequent.SIZE) if key.startswith(prefix)]
    return found[:FREQUENT]


def _marked(sample: Mapping[str, Any]) -> list[Any]:
    return list(pieces(sample["text"], 0, len(sample["text"]), sample["entities"]))


def _flat(values: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Nested values as dotted names and text."""
    if isinstance(values, Mapping):
        for key, value in values.items():
            yield from _flat(value, f"{name}.{key}" if name else str(key))
    elif isinstance(values, Sequence) and not isinstance(values, str):
        yield name, ", ".join(map(str, values)) or "none"
    elif isinstance(values, int) and not isinstance(values, bool):
        yield name, f"{values:,}"
    else:
        yield name, "–" if values is None else str(values)
