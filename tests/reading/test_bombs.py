"""Small files that would fill the memory: what they hold is read in pieces, and a document has a most."""

import gzip
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

WHOLE = 512 * 2**20  # bytes, decompressed
MOST = 320  # MiB that reading may take: a document's most is 64 MiB, and it is held a few times over
PROGRAM = """
import resource, sys
from itertools import islice
from metaner_core.reading import files
from metaner_core.reading.source import Source, find

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

found = find(Source(uri=sys.argv[1]))
before = peak()
problems = [document.problem for _, document in islice(files.documents(found, 0), 100_000)]
print(peak() - before, len(problems), problems[-1])
"""


def read(file: Path) -> tuple[int, int, str]:
    """MiB that reading it took, documents, and the last one's problem."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, file], capture_output=True, text=True, check=True)
    megabytes, documents, problem = done.stdout.split(" ", 2)
    return int(megabytes), int(documents), problem.strip()


@pytest.mark.slow
def test_a_line_without_end_is_rejected(tmp_path: Path) -> None:
    member = gzip.compress(b"a" * (WHOLE // 8))
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(b'{"text": "Ana vive en Lima."}\n') + 8 * member)
    assert (tmp_path / "a.jsonl.gz").stat().st_size < 2**20
    megabytes, found, problem = read(tmp_path / "a.jsonl.gz")
    assert megabytes < MOST
    assert found == 2
    assert "bytes, at most" in problem


def test_a_column_of_one_value_is_not_written_out(tmp_path: Path) -> None:
    rows = WHOLE // 1000
    column = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array(["a" * 1000]))
    pq.write_table(pa.table({"text": column}), tmp_path / "a.parquet", row_group_size=rows)
    assert (tmp_path / "a.parquet").stat().st_size < 2**20
    megabytes, found, _ = read(tmp_path / "a.parquet")
    assert megabytes < MOST
    assert found == 100_000
