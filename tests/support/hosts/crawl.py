"""Documents that take a tagging run on hosts a minute, and the rows that they must become."""

import json
import re
import subprocess
import time
from pathlib import Path
from typing import Any

from metaner_core.bundles import bundle
from metaner_core.data import corpora
from metaner_core.reading.files import documents
from metaner_core.reading.source import Source, find
from metaner_core.tagging.pipeline import tag_documents
from metaner_core.text import schema
from metaner_core.text.rules import Rules
from tests.support.hosts.cluster import BUCKET, Hosts
from tests.support.rows import near, written

FILES, DOCUMENTS = 3, 70  # of each file
LANGUAGES = ("es", "nl", "de")
# One document after another, of which the tagger makes 0.3 s each (tests/support/deadly.py), in shards of some seconds.
OPTIONS = ("--unadapted", "--batch-size=1", "--shard-mb=0.001", "--every-seconds=2", "--languages", *LANGUAGES)


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


class Tagging:
    """A tagging run that is submitted from outside, and goes on while a test does things to its hosts."""

    def __init__(self, cluster: Hosts, name: str, *options: str) -> None:
        self.cluster, self.output = cluster, f"{BUCKET}/{name}"
        self.log, self.rows = cluster.folder / f"{name}.log", cluster.folder / f"{name}-rows"
        places = ["--bundle", f"{BUCKET}/bundle", "--input", f"{BUCKET}/in", "--output", self.output]
        command = cluster.submission("tests.support.deadly", *places, "--actors=3", *OPTIONS, *options)
        self.began = time.monotonic()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def documents(self) -> int:
        """That are done, by its last line of progress."""
        return int(([*re.findall(r"(\d+)/\d+ documents \(", self.said())] or [0])[-1])

    def wait_for(self, documents: int, seconds: float = 300) -> None:
        until = time.monotonic() + seconds
        while self.documents() < documents:
            late = time.monotonic() > until or self.process.poll() is not None
            assert not late, self.said()[-5000:]
            time.sleep(0.5)

    def wait(self, seconds: float = 600) -> float:
        """Until it has come to a good end. Returns the seconds from its beginning."""
        assert self.process.wait(seconds) == 0, self.said()[-5000:]
        return time.monotonic() - self.began

    def require_rows(self, expected: dict[str, dict[str, dict[str, Any]]]) -> None:
        """Fails unless they are these, each once, and the manifest says so."""
        found = self.cluster.download(self.output, self.rows)
        for table, rows in expected.items():
            tagged = written(found, table) if rows else {}
            assert tagged.keys() == rows.keys()
            for id_, row in rows.items():
                assert tagged[id_] == near(row)
        counts = json.loads((found / "manifest.json").read_text())["counts"]
        assert counts["documents"] == sum(map(len, expected.values())) == FILES * DOCUMENTS

    def workers(self) -> set[str]:
        """Addresses of the hosts that shards were done on, once `require_rows` has found them right."""
        records = [json.loads(file.read_text()) for file in (self.rows / "done").iterdir()]
        return {record["worker"].rpartition(" ")[2] for record in records}
