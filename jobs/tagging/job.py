"""What a tagging job is told: its options, and what they make of it."""

import argparse
import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jobs.common.config import OptionsParser
from jobs.common.options import Many, OneOrTwo, add_ray_options, greatest, wrong
from jobs.common.room import WAIT_MINUTES
from metaner_core import storage
from metaner_core.bundles.manifest import NO_NEIGHBOURS, adapts
from metaner_core.engine.config import KINDS, PRECISIONS, EngineConfig
from metaner_core.reading.source import FORMATS, WET, Input, Source
from metaner_core.settings import ADAPTING, Settings, parse_overrides
from metaner_core.text import schema
from metaner_core.text.rules import BLOCK, DEFAULT, FLOW, LINES, Rules

EXAMPLES = (
    "--bundle out/bundle --input documents.jsonl --output out/tagged",
    "--bundle out/bundle --input crawl/ --output out/tagged --estimate --actors 16 --price 0.90",
)
RULES = ("language", "lines", "min_characters", "max_characters", "max_sentences")  # options of that name


@dataclass(frozen=True, kw_only=True)
class Job:
    """What is tagged, with what, and where it goes. Raises ValueError listing every bad field at once.

    adapted: adapt the model to every sentence; else tag with the meta-trained model as it is. adapting: how, where it
    is not as the bundle's settings have it (`Settings.adapting`). keep_probabilities: of each word over all labels, in
    the rows. keep_unadapted: those before adapting, too. limit: only the first so many documents. shard_mb: text in one
    shard, and so in one file of the output; up to as much is done again after a crash. batch_size: documents whose
    sentences go through the model together: the more, the more they share.
    actors: so many, or the least and the most: then the run begins with the least, and takes more as it finds room.
    engine, precision: as in metaner_core.engine.config. stall_minutes: without any progress, then the job ends.
    wait_minutes: for room on the cluster. every_seconds: between two lines of progress. config: the options that it was
    started with, for the manifest.
    """

    source: Source
    bundle: str
    output: str
    rules: Rules = DEFAULT
    adapted: bool = True
    adapting: Mapping[str, Any] = field(default_factory=dict)
    keep_probabilities: bool = False
    keep_unadapted: bool = False
    limit: int | None = None
    shard_mb: float = 8
    partition_by_language: bool = False
    actors: Many = 1
    readers: int | None = None
    gpu: bool = False
    threads: int = 1
    batch_size: int = 4096
    engine: str = "batched"
    precision: str = "fp32"
    stall_minutes: float = 30
    wait_minutes: float = WAIT_MINUTES
    every_seconds: float = 10
    config: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        numbers = {name: getattr(self, name) for name in ("actors", "threads", "batch_size", "limit")}
        bad = [problem for name, n in numbers.items() if n is not None and (problem := wrong(name, n))]
        bad += [f"readers is {self.readers}; least is 0"] if (self.readers or 0) < 0 else []
        numbers = {name: getattr(self, name) for name in ("shard_mb", "stall_minutes", "every_seconds")}
        bad += [f"{name} is {n:g}; it must be above 0" for name, n in numbers.items() if not 0 < n < math.inf]
        if self.keep_unadapted and not (self.keep_probabilities and self.adapted):
            bad += ["keep_unadapted is for keep_probabilities of an adapted model: give that too, and no unadapted"]
        if self.adapting and not self.adapted:
            names = ", ".join(self.adapting)
            bad += [f"{names}: how the model is adapted, and it is not to be: no set, or no unadapted"]
        bad += [] if 0 <= self.wait_minutes < math.inf else [f"wait_minutes is {self.wait_minutes:g}; least is 0"]
        if bad:
            raise ValueError("bulk tagging:\n  " + "\n  ".join(bad))
        EngineConfig(self.engine, self.precision)

    @property
    def shard_bytes(self) -> int:
        return max(1, int(self.shard_mb * 2**20))

    @property
    def keep(self) -> schema.Keep:
        return schema.Keep(self.keep_probabilities, self.keep_unadapted)

    @property
    def ahead(self) -> int:
        """Shards at most that readers have begun and no actor yet: as many as there are readers and actors, at most."""
        return (self.readers or 0) + greatest(self.actors)

    def settings(self) -> dict[str, Any]:
        """How it runs, without what it reads and writes."""
        others = {"source", "bundle", "output", "rules", "adapted", "adapting", "config"}
        others |= {"keep_probabilities", "keep_unadapted"}
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name not in others}


def with_lines(job: Job, found: Input) -> Job:
    """The job with what a line break means: where it does not say it, a line is a block in WET and not elsewhere."""
    lines = job.rules.lines or (BLOCK if found.format == WET else FLOW)
    return dataclasses.replace(job, rules=dataclasses.replace(job.rules, lines=lines))


def as_its_bundle(job: Job, model: Mapping[str, Any]) -> Job:
    """The job as its bundle can do it: one without source sentences tags unadapted. model: the bundle's manifest.

    Of how it is adapted what is not as in the bundle stays. Raises ValueError for what the bundle cannot be: adapted
    otherwise without source sentences, or where training decided; or when what it would be before adapting is to be
    kept.
    """
    if not job.adapted:
        return job
    if not adapts(model):
        options = {"--keep-unadapted": job.keep_unadapted, "--set": job.adapting}
        if asked := [option for option, given in options.items() if given]:
            raise ValueError(f"bundle {job.bundle} {NO_NEIGHBOURS}; leave out {' and '.join(asked)}")
        return dataclasses.replace(job, adapted=False)
    if not job.adapting:
        return job
    settings = Settings.from_dict(model["settings"])
    settings.adapting(job.adapting)  # tells what is wrong
    other = {name: value for name, value in job.adapting.items() if value != getattr(settings, name)}
    return dataclasses.replace(job, adapting=other)


def parse(
    arguments: Sequence[str] | None = None, given: Mapping[str, Any] | None = None, where: str = ""
) -> argparse.Namespace:
    """The command line; `job` makes a Job of it. given, where: as OptionsParser.parse takes them."""
    parser = OptionsParser("jobs.bulk_tag", "Tag documents with a bundle.", EXAMPLES)
    parser.add_argument("--input", required=True, help="file, folder or pattern, local or s3://")
    parser.add_argument("--bundle", required=True, help="folder or s3:// prefix")
    parser.add_argument("--output", required=True, help="folder or s3:// prefix: unused, or of the run to go on with")
    _input_options(parser.add_argument_group("input"))
    _rule_options(parser.add_argument_group("which documents, and as what language"))
    group = parser.add_argument_group("output")
    group.add_argument("--unadapted", action="store_true", help="do not adapt the model to each sentence: fast")
    other = f"adapt otherwise than the bundle's settings say; FIELD is one of {', '.join(ADAPTING)}"
    group.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help=other)
    kept = "put the probability of every label of every word into the rows: for other models to learn from"
    group.add_argument("--keep-probabilities", action="store_true", help=kept)
    beside = "with it: the same before the model is adapted, beside them"
    group.add_argument("--keep-unadapted", action="store_true", help=beside)
    group.add_argument("--shard-mb", type=float, default=8, help="text in one file, and to redo at most (default: 8)")
    group.add_argument("--partition-by-language", action="store_true", help="tagged/language=de/ and so on")
    group = parser.add_argument_group("before a big run")
    group.add_argument("--limit", type=int, help="tag only the first N documents")
    estimate = "tag N documents drawn at random (default: 200), write nothing, and say what the whole would take"
    group.add_argument("--estimate", type=int, nargs="?", const=200, metavar="N", help=estimate)
    group.add_argument("--price", type=float, help="of one actor for an hour, for --estimate")
    changes = "what bf16 changes: docs/findings/engine.md (default: fp32)"
    group.add_argument("--precision", default="fp32", choices=PRECISIONS, help=changes)
    group = parser.add_argument_group("how it runs; none of this changes what comes out")
    group.add_argument("--engine", default="batched", choices=KINDS, help="reference: one sentence at a time, to check")
    copies = "copies of the model; MIN MAX: so many to begin with, and more as the cluster has room (default: 1)"
    group.add_argument("--actors", action=OneOrTwo, default=1, help=copies)
    ready = "tasks on CPUs that make text ready for actors (default: with --gpu what fits the cluster's CPUs, else 0)"
    group.add_argument("--readers", type=int, help=ready)
    group.add_argument("--threads", type=int, default=1, help="threads of an actor without GPU (default: 1)")
    group.add_argument("--batch-size", type=int, default=4096, help="documents tagged together at most (default: 4096)")
    group.add_argument("--every-seconds", type=float, default=10, help="between lines of progress (default: 10)")
    group.add_argument("--stall-minutes", type=float, default=30, help="without progress, then end (default: 30)")
    add_ray_options(parser)
    options = parser.parse(arguments, given, where)
    if options.price is not None and options.estimate is None:
        raise ValueError("--price says what an hour costs in an --estimate: give --estimate too, or leave --price out")
    if options.price is not None and not 0 <= options.price < math.inf:
        raise ValueError(f"--price is {options.price:g}; it must be a number from 0 on")
    return options


def _input_options(group: Any) -> None:
    group.add_argument("--format", choices=FORMATS, help="default: by the files' endings; files: a document a file")
    group.add_argument("--text-column", default="text", help="(default: text)")
    group.add_argument("--id-column", help="unique ids (default: id, if it can be; else or with none: file and line)")
    group.add_argument("--language-column", help="codes such as de (default: language, if it can be; or none)")


def _rule_options(group: Any) -> None:
    group.add_argument("--language", help="one for all documents, whatever the column says")
    group.add_argument("--languages", nargs="+", metavar="CODE", help="tag only these; de stands for deu and de-AT too")
    group.add_argument("--no-identify", action="store_true", help="do not find out languages that are not given")
    what = "block: a line ends a sentence (default for WET); flow: only a blank one does (default for all else)"
    group.add_argument("--lines", choices=LINES, help=what)
    for option, what in (("min-characters", "least"), ("max-characters", "most"), ("max-sentences", "most")):
        default = getattr(DEFAULT, option.replace("-", "_"))
        group.add_argument(
            f"--{option}", type=int, default=default, help=f"{what} of a document (default: {default:,})"
        )


def job(options: argparse.Namespace) -> Job:
    """The job of a command line. Raises ValueError for a value that cannot be."""
    columns = {name: getattr(options, name) for name in ("text_column", "id_column", "language_column")}
    same = (
        "keep_probabilities",
        "keep_unadapted",
        "limit",
        "shard_mb",
        "partition_by_language",
        "actors",
        "readers",
        "gpu",
        "threads",
        "batch_size",
        "stall_minutes",
        "wait_minutes",
        "engine",
        "precision",
    )
    rules = {name: getattr(options, name) for name in RULES}
    languages = tuple(options.languages) if options.languages else None
    return Job(
        source=Source(uri=storage.absolute(options.input), format=options.format, **columns),
        bundle=storage.absolute(options.bundle),
        output=storage.absolute(options.output),
        rules=Rules(languages=languages, identify=not options.no_identify, **rules),
        adapted=not options.unadapted,
        adapting=parse_overrides(options.set),
        every_seconds=options.every_seconds,
        config=options.config,
        **{name: getattr(options, name) for name in same},
    )
