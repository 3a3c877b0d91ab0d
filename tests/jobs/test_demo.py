"""The demo from beginning to end on tiny settings."""

from pathlib import Path

import pytest

from jobs.demo import demo, read_rows
from metaner_core.bundles import bundle
from metaner_core.data import corpora
from metaner_core.settings import preset

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
    assert len({row["id"] for row in rows}) == len(rows) == 40
    html = Path(found["page.html"]).read_text(encoding="utf-8")
    assert all(row["id"] in html for row in rows)
    assert all(f"embedded-{language}" in html for language in ("es", "nl", "de", "fr", "zh"))
    assert Path(found["crawl"], "report.html").stat().st_size > 10_000
