"""A tagging output as a tagging job leaves it, made without Ray: what of it a student reads.

Its distributions are drawn, some sure and some not: those of a tiny bundle are all alike.
"""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from metaner_core.bundles import bundle
from metaner_core.data import corpora
from metaner_core.data.labels import bio_labels
from metaner_core.tagging.pipeline import tag_documents
from metaner_core.text import schema
from metaner_core.text.document import Document
from metaner_core.text.schema import Keep

BOTH = Keep(probabilities=True, unadapted=True)
LANGUAGES = ("es", "de", "nl", "fr")


def documents(many: int = 4) -> list[Document]:
    """So many in each of four languages, of four sentences each."""
    found = []
    for language in LANGUAGES:
        sentences = [" ".join(s.words) for s in corpora.load(f"embedded-{language}", "test")]
        for n in range(many):
            found.append(Document(f"{language}{n}", "\n\n".join(sentences[4 * n : 4 * n + 4]), language))
    return found


def save_tagged(uri: Path, start: str, *, many: int = 4, files: int = 3, rows: int = 2, keep: Keep = BOTH) -> str:
    """Those documents in so many files with so many rows in a row group."""
    found = tag_documents(bundle.load(start), documents(many), adapted=False)
    rng = np.random.default_rng(0)
    for sentence in (sentence for row in found for sentence in row["sentences"]):
        drawn = distributions(rng, len(sentence["tokens"]))
        sentence |= {name: drawn[name].reshape(-1).tolist() for name in keep.names}
    for n in range(files):
        table, _ = schema.tables(found[n::files], keep)
        path = uri / "tagged" / f"part-{n:07d}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path, row_group_size=rows)
    save_manifest(uri, start, keep)
    return str(uri)


def distributions(rng: np.random.Generator, words: int) -> dict[str, np.ndarray]:
    """[words, 9] of a teacher that often says O; in a third of the sentences the unadapted one says something else."""
    scores = rng.uniform(1, 5) * (rng.normal(size=(words, 9)) + 3 * np.eye(9)[0])
    others = scores + (rng.random() < 0.3) * rng.normal(size=(words, 9), scale=5)
    both = {"probabilities": scores, "unadapted": others}
    return {
        name: np.exp(z - z.max(1, keepdims=True)) / np.exp(z - z.max(1, keepdims=True)).sum(1, keepdims=True)
        for name, z in both.items()
    }


def save_manifest(uri: Path, start: str, keep: Keep = BOTH, **other: object) -> None:
    """What is written last. other: entries that are otherwise."""
    sizes = [path.stat().st_size for path in (uri / "tagged").rglob("*.parquet")]
    settings = json.loads(Path(start, "manifest.json").read_text())["settings"]
    manifest = {
        "run": "0123456789ab",
        "bundle": {"uri": start, "settings": settings},
        "adapted": True,
        "kept": keep.names,
        "labels": bio_labels(settings["types"]),
        "tables": {"tagged": {"files": len(sizes), "bytes": sum(sizes)}},
        **other,
    }
    (uri / "manifest.json").write_text(json.dumps(manifest))
