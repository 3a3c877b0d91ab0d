"""Documents that take a tagging run on hosts a minute, and the rows that they must become."""

import json
from pathlib import Path
from typing import Any

from metaner_core.bundles import bundle
from metaner_core.data import corpora
from metaner_core.reading.files import documents
from metaner_core.reading.source import Source, find
from metaner_core.tagging.pipeline import tag_documents
from metaner_core.text import schema
from metaner_core.text.rules import Rules

FILES, DOCUMENTS = 4, 150  # of each file
LANGUAGES = ("es", "nl", "de")
# One document after another, of which the tagger makes 0.3 s each (tests/support/deadly.py), in shards of some seconds.
OPTIONS = ("--unadapted", "--batch-size=1", "--shard-mb=0.001", "--every-seconds=5", "--languages", *LANGUAGES)


def write(folder: Path) -> Path:
    """JSON Lines of sentences of three languages."""
    tests = [corpora.load(f"embedded-{language}", "test") for language in LANGUAGES]
    folder.mkdir()
    for file in range(FILES):
        lines = []
        for n in range(DOCUMENTS):
            sentences = tests[n % len(tests)]
            words = sentences[(file * DOCUMENTS + n) % len(sentences)].words[:12]
            row = {"id": f"{file}-{n}", "language": LANGUAGES[n % len(tests)], "text": " ".join(words)}
            lines.append(json.dumps(row) + "\n")
        (folder / f"{file}.jsonl").write_text("".join(lines), encoding="utf-8")
    return folder


def expected(folder: Path, uri: str) -> dict[str, dict[str, dict[str, Any]]]:
    """The rows of both tables by id, tagged in this process, which nothing befalls."""
    found, loaded = find(Source(uri=str(folder))), bundle.load(uri)
    read = [document for file in range(FILES) for _, document in documents(found, file)]
    rows = tag_documents(loaded, read, rules=Rules(languages=LANGUAGES), adapted=False)
    tables = zip(("tagged", "other"), schema.tables(rows), strict=True)
    return {name: {row["id"]: row for row in table.to_pylist()} for name, table in tables}
