"""Files as bytes: compressed in any way, padded, joined, misnamed, of another encoding."""

import bz2
import gzip
import lzma
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from metaner_core import storage
from metaner_core.reading import streams
from metaner_core.reading.files import documents
from metaner_core.reading.source import Input, Source, find
from metaner_core.text.document import Document

TEXT = "".join(f"Ana {n} vive en Lima.\n" for n in range(5000)).encode()
LINES = TEXT.decode().splitlines()


def arrow(codec: str) -> Callable[[bytes], bytes]:
    def compress(content: bytes) -> bytes:
        sink = pa.BufferOutputStream()
        with pa.CompressedOutputStream(sink, codec) as stream:
            stream.write(content)
        return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]

    return compress


CODECS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": arrow("zstd"),
    "lz4": arrow("lz4"),
}


def read(path: Path, content: bytes, kind: str = "text") -> list[Document]:
    path.write_bytes(content)
    found = Input(kind, [str(path)], [len(content)], [0], str(path.parent), (None, None, None))
    return [document for _, document in documents(found, 0)]


@pytest.mark.parametrize("kind", CODECS)
def test_every_compression_is_read_by_what_the_file_holds(tmp_path: Path, kind: str) -> None:
    content = CODECS[kind](TEXT)
    for name in (f"a.txt.{kind}", "a.txt", "a.txt.gz"):
        assert [d.text for d in read(tmp_path / name, content)] == LINES


@pytest.mark.parametrize("kind", CODECS)
def test_files_joined_are_one(tmp_path: Path, kind: str) -> None:
    content = CODECS[kind](TEXT[:1000]) + CODECS[kind](b"") + CODECS[kind](TEXT[1000:])
    assert [d.text for d in read(tmp_path / f"a.txt.{kind}", content)] == LINES


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz"])
def test_zeros_after_it_are_padding(tmp_path: Path, kind: str) -> None:
    content = CODECS[kind](TEXT)
    for padding in (1, 511, 100_000):
        assert [d.text for d in read(tmp_path / f"a.txt.{kind}", content + bytes(padding))] == LINES
    assert len(read(tmp_path / f"a.txt.{kind}", content + bytes(9) + content)) == 2 * len(LINES)


@pytest.mark.parametrize("kind", CODECS)
def test_what_is_cut_off_or_no_member_is_one_rejected_row(tmp_path: Path, kind: str) -> None:
    content = CODECS[kind](TEXT)
    for broken in (content[:-9], content + b"x" * 99, content + b"x" + content[1:]):
        *before, last = read(tmp_path / f"a.txt.{kind}", broken)
        assert [d.text for d in before] == LINES[: len(before)]
        assert (last.problem or "").startswith("reading: the file is damaged, what follows cannot be read: ")
        (whole,) = read(tmp_path / f"a.txt.{kind}", broken, "files")
        assert (whole.problem or "").startswith("reading: the file is damaged")


def test_all_before_damage_in_gzip_is_read(tmp_path: Path) -> None:
    content = bytearray(gzip.compress(TEXT))
    content[-6] ^= 1  # of the checksum
    *before, last = read(tmp_path / "a.txt.gz", bytes(content))
    assert [d.text for d in before] == LINES
    assert last.problem is not None


def test_a_name_that_promises_too_much(tmp_path: Path) -> None:
    (found,) = read(tmp_path / "a.txt.gz", b"plain text")
    assert (found.problem or "").startswith("reading: the file is damaged")


@pytest.mark.parametrize("kind", ["zip", "7z", "tar", "Z", "br"])
def test_another_compression_is_refused_by_name(tmp_path: Path, kind: str) -> None:
    (tmp_path / "a.txt").write_text("x")
    (tmp_path / f"b.txt.{kind}").write_bytes(b"x")
    with pytest.raises(ValueError, match=rf"b\.txt\.{kind}: text in a \.{kind.lower()} file is not read; decompress"):
        find(Source(uri=str(tmp_path)))


def test_parquet_compressed_as_a_whole_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.parquet.gz").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"parquet in a \.gz file is not read; decompress it$"):
        find(Source(uri=str(tmp_path)))


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf16_without_a_mark_is_rejected_and_named(tmp_path: Path, encoding: str) -> None:
    found = read(tmp_path / "a.txt", "Ana vive.\nEn Lima.".encode(encoding))
    assert all("UTF-16 without a byte order mark" in (d.problem or "") for d in found)


def test_half_a_pair_in_utf16_costs_its_line(tmp_path: Path) -> None:
    found = read(tmp_path / "a.txt", "\ufeffAna\nx\ud800y\nKiel\n".encode("utf-16-le", "surrogatepass") + b"\x41")
    assert [(d.text, d.problem is None) for d in found][::2] == [("Ana", True), ("Kiel", True)]
    assert (found[1].problem or "").startswith("reading: it is not UTF-8")
    assert len(found) == 4  # and the half character at the end


@pytest.mark.parametrize("kind", CODECS)
def test_storage_that_fails_is_no_damage(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing(streams._Raw):
        def read(self, size: int = -1) -> bytes:
            raise streams._StorageFailed(OSError(5, "no answer"))

    (tmp_path / f"a.txt.{kind}").write_bytes(CODECS[kind](TEXT))
    monkeypatch.setattr(streams, "_Raw", Failing)
    with pytest.raises(OSError, match="no answer"):
        read(tmp_path / f"a.txt.{kind}", CODECS[kind](TEXT))
    assert storage.exists(str(tmp_path))
