"""Rounds of tagging and distilling: each round tags the input, its student learns from that, and tags in the next one.

    laptop    python -m jobs.self_train rounds.toml --output out/rounds
    cluster   ray job submit --working-dir . -- python -m jobs.self_train s3://bucket/rounds.toml \\
                  --output s3://bucket/rounds

The file has the options of both jobs, as their own `--config` files have them:

    bundle = "out/bundle"                         # tags in the first round
    rounds = 2
    [tag]
    input = "crawl/"
    actors = 2
    [distill]
    corpus = "conll2003-en"
    data = "DATA"
    set = { least_certain = 0.5, nameless = 0.1 }

A round is what `metaner tag` and `metaner distill` do, in <output>/<round>/tagged and <output>/<round>/student. Stopped
at any moment, the same command goes on; with a higher --rounds it goes on behind the last one. English dev F1 of every
round stands at the end: later rounds need not be better ones.
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from jobs import bulk_tag
from jobs import distill as teaching
from jobs.common.config import OptionsParser
from jobs.common.options import greatest
from jobs.common.session import connect
from jobs.tagging import job as tagging
from jobs.tagging.claim import finished
from metaner_core import storage
from metaner_core.bundles import manifest as manifests
from metaner_core.command import run, say
from metaner_core.distilling.run import ending

EXAMPLES = ("rounds.toml --output out/rounds", "rounds.toml --output out/rounds --rounds 3")
KEYS = {"bundle": str, "rounds": int, "tag": dict, "distill": dict}
NOT_THERE = {  # options of the two jobs that the rounds or the command line say
    "tag": ("bundle", "output", "keep-probabilities", "estimate", "price", "address"),
    "distill": ("tagged", "output", "address"),
}
OF_THE_FIRST = "keep-unadapted"  # a student is not adapted


@dataclass(frozen=True, kw_only=True)
class Rounds:
    """What the file and the command line say. tag, distill: options of the two jobs by name."""

    bundle: str
    output: str
    rounds: int
    tag: Mapping[str, Any]
    distill: Mapping[str, Any]
    where: str
    address: str | None = None

    def tagging(self, number: int, teacher: str) -> tagging.Job:
        """Of a round, counted from 1. Raises ValueError for options that cannot be."""
        places = ["--bundle", teacher, "--output", self.place(number, "tagged"), "--keep-probabilities"]
        given = {name: value for name, value in self.tag.items() if number == 1 or name != "set"}  # students: no step
        return tagging.job(tagging.parse(places, given, f"{self.where} [tag]"))

    def distilling(self, number: int) -> teaching.Job:
        """Likewise."""
        places = ["--tagged", self.place(number, "tagged"), "--output", self.place(number, "student")]
        if "storage" not in self.distill:
            places += ["--storage", storage.join(self.output, "runs")]
        return teaching.parse(places, self.distill, f"{self.where} [distill]")[0]

    def place(self, number: int, name: str) -> str:
        return storage.join(self.output, f"{number}/{name}")


def load(uri: str, output: str, rounds: int | None = None, address: str | None = None) -> Rounds:
    """What to do, from a TOML file. rounds: instead of the file's.

    Raises FileNotFoundError when there is no such file, ValueError naming all that is wrong in it.
    """
    try:
        values = tomllib.loads(storage.read_bytes(uri).decode())
    except ValueError as error:  # not TOML, or not UTF-8
        raise ValueError(f"{uri}: {error}; the rounds are a TOML file (docs/guides/distill.md)") from None
    if rounds is not None:
        values["rounds"] = rounds
    if problems := _wrong(values):
        raise ValueError(f"{uri}:\n  " + "\n  ".join(problems))
    bundle = storage.absolute(values["bundle"])
    options = {name: values[name] for name in ("rounds", "tag", "distill")}
    found = Rounds(bundle=bundle, output=storage.absolute(output), where=uri, address=address, **options)
    tags, learns = found.tagging(1, bundle), found.distilling(1)  # tells what is wrong before any work
    if learns.settings.wants_unadapted and tags.adapted and not tags.keep_unadapted:
        raise ValueError(
            f"{uri}:\n  [distill] set: agree and teacher=unadapted want keep_unadapted in [tag], and so one round; "
            "leave them out"
        )
    return found


def _wrong(values: Mapping[str, Any]) -> list[str]:
    """What is wrong in the file, but for the values of the two jobs' options."""
    kinds = {str: "text", int: "a whole number from 1 on", dict: "a table of that command's options"}
    problems = [f"{key} is not known; there are {', '.join(KEYS)}" for key in values if key not in KEYS]
    for key, kind in KEYS.items():
        value = values.get(key)
        if type(value) is not kind or (isinstance(value, int) and value < 1):
            problems.append(f"{key} is {'not there' if value is None else repr(value)}; it must be {kinds[kind]}")
    if problems:
        return problems
    for table, ours in NOT_THERE.items():
        named = [key for key in values[table] if key.replace("_", "-") in ours]
        problems += [f"[{table}] {key}: the rounds or the command line say it; leave it out" for key in named]
    later = [key for key in values["tag"] if key.replace("_", "-") == OF_THE_FIRST]
    if later and values["rounds"] > 1:
        told = "run the first round by `metaner tag` and `metaner distill`, and give its student as bundle here"
        problems.append(f"[tag] {later[0]}: from the second round on a student tags, which is not adapted; {told}")
    return problems


def self_train(job: Rounds) -> list[dict[str, Any]]:
    """Run all rounds that are left. Returns the manifests of the bundle that began and of each round's student.

    Raises what tagging and distilling do.
    """
    teacher, found = job.bundle, [manifests.read(job.bundle)]
    first, learning = job.tagging(1, job.bundle), job.distilling(1)
    cpus = max(bulk_tag.cpus(first), greatest(learning.workers) + 1)
    for number in range(1, job.rounds + 1):
        say(f"round {number} of {job.rounds}: {teacher} tags")
        tags, learns = job.tagging(number, teacher), job.distilling(number)
        if finished(tags.output) is None:
            connect(job.address, cpus=cpus, room=bulk_tag.room(tags))
        say(bulk_tag.summary(bulk_tag.bulk_tag(tags, address=job.address)))
        say(f"round {number} of {job.rounds}: a student learns")
        manifest = learns.written(learns.output)
        if manifest is None:
            connect(job.address, cpus=cpus, room=learns.room)
            manifest = teaching.distill(learns)
        say(ending(manifest, learns.output))
        found.append(manifest)
        teacher = learns.output
    return found


def table(found: Sequence[Mapping[str, Any]]) -> Table:
    """Round by round, what its student learnt from and its English dev F1."""
    result = Table(title="Rounds")
    for name in ("round", "tagged sentences learnt from", "names in them", "English dev F1"):
        result.add_column(name, justify="right")
    for number, manifest in enumerate(found):
        kept = manifest.get("distilled", {}).get("selection", {}).get("kept", {}) if number else {}
        many = [f"{n:,}" for n in (kept.get("sentences", 0), sum(kept.get("names", {}).values()))]
        f1 = f"{manifest['best']['dev_f1']:.2f}"
        result.add_row(str(number) if number else "begun with", *(many if number else ("", "")), f1)
    return result


def main() -> None:
    parser = OptionsParser("jobs.self_train", "Tag and distil in rounds, each student the next teacher.", EXAMPLES)
    parser.add_argument("rounds_file", metavar="FILE", help="a .toml file, local or s3://: docs/guides/distill.md")
    parser.add_argument(
        "--output", required=True, help="folder or s3:// prefix: unused, or of the rounds to go on with"
    )
    parser.add_argument("--rounds", type=int, help="so many, whatever the file says")
    parser.add_argument("--address", help="a running Ray; default: RAY_ADDRESS, else a Ray of its own on this machine")
    options = parser.parse()
    job = load(options.rounds_file, options.output, options.rounds, options.address)
    found = self_train(job)
    Console(width=110).print(table(found))
    best = max(range(1, len(found)), key=lambda n: found[n]["best"]["dev_f1"])
    say(f"the highest English dev F1 is round {best}'s: {job.place(best, 'student')}")


if __name__ == "__main__":
    run(main)
