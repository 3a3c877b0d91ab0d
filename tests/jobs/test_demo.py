"""The demo from beginning to end on tiny settings."""

import json
import unicodedata
from pathlib import Path

import pytest

from jobs.demo import CRAWL, demo, read_rows
from metaner_core.bundles import bundle
from metaner_core.data import corpora
from metaner_core.reading.files import documents
from metaner_core.reading.source import Source, find
from metaner_core.settings import preset
from metaner_core.text.languages import primary
from metaner_core.text.outcomes import Ready
from metaner_core.text.rules import Rules
from metaner_core.text.screening import screen

TINY = {"meta_updates": 2, "dev_every": 1, "tasks_per_update": 4}


@pytest.mark.slow
def test_the_demo_leaves_a_bundle_a_tagged_crawl_and_a_page(
    ray_local: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = corpora.load
    monkeypatch.setattr(corpora, "load", lambda *which, **options: load(*which, **options)[:40])
    found = demo(str(tmp_path / "demo"), settings=preset("demo", **TINY), actors=1)
    assert bundle.load(found["bundle"]).manifest["source_name"] == "embedded-en"
    rows = list(read_rows(found["crawl"]))
    assert len({row["id"] for row in rows}) == len(rows) == 50
    html = Path(found["page.html"]).read_text(encoding="utf-8")
    assert all(row["id"] in html for row in rows)
    assert all(f"embedded-{language}" in html for language in ("es", "nl", "de", "fr", "zh"))
    assert Path(found["crawl"], "report.html").stat().st_size > 10_000


@pytest.fixture(scope="module")
def ready() -> dict[str, Ready]:
    """The crawl's documents that are to be tagged, by id."""
    read = [document for _, document in documents(find(Source(uri=str(CRAWL))), 0)]
    screened = {document.id: screen(document, Rules(lines="block")) for document in read}
    return {id_: found for id_, found in screened.items() if isinstance(found, Ready)}


def lines(found: Ready) -> list[str]:
    assert found.document.text is not None
    return [found.document.text[sentence[0].start : sentence[-1].end] for sentence in found.sentences]


def test_menus_and_lists_of_names_of_the_crawl_are_a_sentence_a_line(ready: dict[str, Ready]) -> None:
    menu = lines(ready["crawl-0041"])
    assert menu[:5] == ["Inicio", "Noticias", "Deportes", "Buscar", "Contacto"]
    assert menu[5:7] == [
        "La alcaldesa Rosaura Entrecanales inauguró ayer el mercado de Alcañiz.",
        "Asistieron doscientos vecinos.",
    ]
    assert lines(ready["crawl-0042"])[1:4] == ["Hannelore Wiesgrund", "Peer Osterkamp", "Dr. Ayla Demirhan"]
    assert lines(ready["crawl-0046"])[:3] == ["编辑部", "沈若澜", "顾行舟"]


def test_nfd_text_of_the_crawl_is_cut_as_the_same_in_nfc(ready: dict[str, Ready]) -> None:
    nfc, nfd = ready["crawl-0043"], ready["crawl-0044"]
    assert nfc.document.text != nfd.document.text
    assert [unicodedata.normalize("NFC", line) for line in lines(nfd)] == lines(nfc)
    assert [len(sentence) for sentence in nfd.sentences] == [len(sentence) for sentence in nfc.sentences] == [9, 7, 7]


def test_odd_codes_of_the_crawl_are_read_and_what_is_no_code_is_identified(ready: dict[str, Ready]) -> None:
    found = {n: primary(ready[f"crawl-{n:04}"].language) for n in range(41, 51)}
    assert list(found.values()) == ["es", "de", "es", "es", "fr", "zh", "nl", "de", "de", "de"]
    assert [n for n in found if ready[f"crawl-{n:04}"].score is not None] == [49, 50]
    assert json.loads(ready["crawl-0049"].document.extra or "") == {"language": "und"}
