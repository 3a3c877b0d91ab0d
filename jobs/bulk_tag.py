"""Bulk tagging as a Ray Data job: documents and a bundle in, Parquet and an account of every document out.

    laptop    python -m jobs.bulk_tag --bundle out/bundle --input documents.jsonl --output out/tagged
    one GPU   python -m jobs.bulk_tag --gpu --bundle out/bundle --input 'crawl/*.warc.wet.gz' --output out/tagged
    cluster   ray job submit --working-dir . -- python -m jobs.bulk_tag --gpu --actors 8 \\
                  --bundle s3://bucket/bundle --input s3://bucket/crawl/ --output s3://bucket/tagged

Every document becomes one row: of <output>/tagged if it was tagged, else of <output>/other with the reason (columns:
metaner_core/text/schema.py; files: jobs/planning/shards.py). Stopped at any moment, the same command goes on and does
again at most the shards that were in flight. <output>/manifest.json is written last: an output without it is not whole.
Before a big run try `--limit 100`, and `--estimate`.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import ray

from jobs.common.options import fewest, greatest
from jobs.common.room import Room
from jobs.common.session import connect
from jobs.planning.plan import plan
from jobs.planning.shards import Shard, done, release
from jobs.tagging.claim import claim, decisive, finished, name
from jobs.tagging.estimate import estimate_run, require_enough
from jobs.tagging.finish import finish
from jobs.tagging.job import Job, as_its_bundle, job, parse, with_lines
from jobs.tagging.stages.pipeline import SPARE, Instead, dataset, with_readers
from jobs.tagging.supervisor import ask, start_supervisor
from jobs.tagging.watch import Extent, follow
from metaner_core.bundles import manifest as manifests
from metaner_core.command import run, say
from metaner_core.reading.source import Input, find, require_apart

WAITED = 0.1  # of the actors' time: so much is worth a word


def bulk_tag(job: Job, *, address: str | None = None, instead: Instead | None = None) -> dict[str, Any]:
    """Run the job, or go on with it. Returns the manifest.

    Runs on the Ray that is connected, else at this address; when all is done already, on none. Raises FileExistsError
    when the output holds something else, FileNotFoundError or ValueError when the output is of another run, the input,
    its columns or its ids are not as they must be or the bundle cannot be loaded, RuntimeError when the run stalls or
    documents were lost or doubled on the way. Whatever fails before the first shard is begun leaves the output unused.
    """
    model = manifests.read(job.bundle)
    manifests.require_usable(job.bundle, model)
    job = as_its_bundle(job, model)
    require_apart(job.source, job.output)
    found = find(job.source)
    for note in found.notes:
        say(note)
    job = with_lines(job, found)
    facts = decisive(job, found, model)
    started = claim(job.output, facts)
    if manifest := finished(job.output):
        say(f"{job.output} is finished: nothing to do")
        return manifest
    job, shards = _planned(job, found, address)
    finished_before = done(job.output)
    left = [shard for shard in shards if shard.name not in finished_before]
    documents = sum(shard.documents for shard in shards)
    before = documents - sum(shard.documents for shard in left)
    say(f"{documents:,} documents in {len(found.files):,} files, {len(shards):,} shards; run {name(facts)}")
    if before:
        say(f"{before:,} documents were done before, {documents - before:,} are left")
    if left:
        _tag(job, found, left, Extent(documents, before, len(left)), instead or Instead())
    return finish(job, found, model, shards, run=name(facts), started=started)


def cpus(job: Job) -> int:
    """Logical CPUs for a Ray on this machine: two are spare, for looking through the input."""
    return max(greatest(job.actors) + (job.readers or 0), os.cpu_count() or 1) + SPARE


def room(job: Job) -> Room:
    """For the least of actors, and readers, which would wait for ever where there is none."""
    actors, options = fewest(job.actors), "--actors"
    who = f"{actors} actor(s)"
    if job.readers:
        who, options = f"{who} and {job.readers} reader(s)", "--actors or --readers"
    return Room(who, actors + (job.readers or 0), actors if job.gpu else 0, options, job.wait_minutes)


def _planned(job: Job, found: Input, address: str | None) -> tuple[Job, list[Shard]]:
    """The job as it runs on the Ray that is there, and its shards. Whatever fails, the output is left unused."""
    try:
        connect(address, cpus=cpus(job), room=room(job))
        job = with_readers(job)
        room(job).require()
        return job, plan(found, job.output, shard_bytes=job.shard_bytes, limit=job.limit)
    except Exception:
        release(job.output)
        raise


def _tag(job: Job, found: Input, shards: Sequence[Shard], extent: Extent, instead: Instead) -> None:
    supervisor = start_supervisor()
    run = dataset(job, found, shards, supervisor, instead)
    run.set_name("metaner tag")  # in Ray's dashboard

    def pipeline() -> None:
        for _ in run.iter_batches(batch_size=None, batch_format="pyarrow"):
            pass  # the names of shards; what they hold is written

    try:
        follow(pipeline, supervisor, extent, every=job.every_seconds, stall=60 * job.stall_minutes)
    except Exception:
        begun, refusal = ask(supervisor.beginning.remote())
        if not begun:
            release(job.output)
        if refusal is not None:
            raise ValueError(refusal) from None
        raise
    finally:
        ray.kill(supervisor)


def summary(manifest: Mapping[str, Any]) -> str:
    """A manifest in a few lines: documents by outcome, sentences and their pace, entities by type."""
    counts, seconds = manifest["counts"], manifest["seconds"]["actors"]
    waited = manifest["seconds"].get("waited", 0.0) / max(seconds + manifest["seconds"].get("waited", 0.0), 1e-9)
    idle = f"actors     waited {waited:.0%} of their time for text: give more --readers\n" if waited > WAITED else ""
    outcomes, entities = (", ".join(f"{n:,} {k}" for k, n in counts[part].items()) for part in ("outcomes", "entities"))
    return (
        f"documents  {counts['documents']:,}: {outcomes}\n"
        f"sentences  {counts['sentences']:,}, {counts['sentences'] / max(seconds, 1e-9):.1f}/s an actor\n"
        f"entities   {sum(counts['entities'].values()):,}: {entities or 'none'}\n"
        f"{idle}"
        f"output     {manifest['output']}"
    )


def main() -> None:
    options = parse()
    told = job(options)
    if options.estimate is not None:
        require_enough(options.estimate)
        connect(options.address, cpus=cpus(told), room=room(told))
        say(estimate_run(told, documents=options.estimate, price=options.price))
    else:
        say(summary(bulk_tag(told, address=options.address)))


if __name__ == "__main__":
    run(main)
