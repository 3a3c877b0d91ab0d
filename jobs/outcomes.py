"""What a tagging run has written, counted from its files: outcomes, sentences, entities by type."""

from collections import Counter
from typing import Any

import pyarrow.fs as pafs
import pyarrow.parquet as pq
import ray

from metaner_core import schema, storage


def counts(output: str) -> dict[str, Any]:
    """What the written files hold, counted on the cluster, a task a file."""
    files = storage.list_files(storage.join(output, "tagged"))
    task = ray.remote(count_file)
    sums = Counter[str]()
    for part in ray.get([task.remote(*storage.filesystem(file)) for file in files]):
        sums.update(part)
    entities = {name.removeprefix("type:"): n for name, n in sorted(sums.items()) if name.startswith("type:")}
    return {
        "documents": sum(sums[outcome] for outcome in schema.OUTCOMES),
        "outcomes": {outcome: sums[outcome] for outcome in schema.OUTCOMES},
        "sentences": sums["sentences"],
        "sentences_cut_to_windows": sums["cut"],
        "entities": entities,
    }


def count_file(fs: pafs.FileSystem, path: str) -> Counter[str]:
    """Outcomes, sentences and entities (`type:PER`) in a file of the output; reads the three columns that it needs."""
    found = Counter[str]()
    columns = ["outcome", "sentences.list.element.windows", "entities.list.element.type"]
    with fs.open_input_file(path) as stream:
        for batch in pq.ParquetFile(stream).iter_batches(columns=columns):
            found.update(batch["outcome"].to_pylist())
            windows = batch["sentences"].flatten().field("windows").to_pylist()
            found.update({"sentences": len(windows), "cut": sum(n > 1 for n in windows)})
            found.update(f"type:{name}" for name in batch["entities"].flatten().field("type").to_pylist())
    return found
