"""WET files as Common Crawl writes them."""

import io
from collections.abc import Iterable
from pathlib import Path

from warcio.warcwriter import WARCWriter


def wet(documents: Iterable[tuple[str, bytes]], *, gzip: bool = True) -> bytes:
    """A file of one warcinfo record and, for each record id and text, a conversion record."""
    sink = io.BytesIO()
    writer = WARCWriter(sink, gzip=gzip)
    writer.write_record(writer.create_warcinfo_record("test.warc.wet.gz", {"software": "test"}))
    for id_, text in documents:
        headers = {"WARC-Record-ID": f"<{id_}>", "WARC-Identified-Content-Language": "eng"}
        record = writer.create_warc_record(
            f"http://example.org/{id_}",
            "conversion",
            payload=io.BytesIO(text),
            warc_content_type="text/plain",
            warc_headers_dict=headers,
        )
        writer.write_record(record)
    return sink.getvalue()


def write(path: Path, documents: Iterable[tuple[str, bytes]], *, gzip: bool = True) -> Path:
    path.write_bytes(wet(documents, gzip=gzip))
    return path
