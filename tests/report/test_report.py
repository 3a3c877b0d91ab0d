"""The report: what it shows is the summary's, adds up, and is safe whatever the documents hold."""

from typing import Any

import pytest

from metaner_core.report import report
from metaner_core.report.report import Shard
from metaner_core.report.sketches import Frequent
from metaner_core.report.summary import Summary
from metaner_core.text.schema import SURE
from tests.support import rows
from tests.support.reader import Node, Reader, contrast, nodes, palettes

ROWS = rows.crawl(300)
SUMMARY = Summary.of(ROWS)
SHARDS = [Shard(str(i), 1e9 + 60 * i, 1e9 + 60 * i + 60, 10, 600) for i in range(10)]
MANIFEST = {
    "output": "s3://bucket/out",
    "input": {"uri": "s3://bucket/in", "format": "wet", "files": 3, "bytes": 1_234_567},
    "bundle": {"uri": "b", "fingerprint": "0123456789ab", "settings": {"types": ["PER", "LOC"], "gamma": 1e-5}},
    "rules": {"languages": None, "max_sentences": 10_000},
    "settings": {"shard_mb": 8},
    "versions": {"metaner": "0.1.0"},
    "tables": {
        "tagged": {"files": 3, "rows": 210, "bytes": 2_500_000},
        "other": {"files": 3, "rows": 90, "bytes": 999},
    },
    "adapted": True,
    "started": 1e9,
    "finished": 1e9 + 7500,
}


def page(found: list[dict[str, Any]] | None = None, manifest: Any = MANIFEST, shards: Any = SHARDS) -> Node:
    return Reader(report.render(manifest, SUMMARY if found is None else Summary.of(found), iter(shards))).root


def section(root: Node, name: str) -> Node:
    return next(node for node in root.all("section") if node.attributes.get("id") == name)


def cells(node: Node) -> list[list[str]]:
    return [[cell.text().strip() for cell in row.children if isinstance(cell, Node)] for row in node.all("tr")]


def test_outcomes_add_up_to_all_documents() -> None:
    table = cells(section(page(), "outcomes"))
    found = {row[0].lower(): int(row[1]) for row in table[1:-1]}
    assert found == SUMMARY.outcomes
    assert table[-1][:2] == ["All", "300"]
    assert sum(found.values()) == 300


def test_every_picture_has_a_name_or_is_beside_its_numbers() -> None:
    for svg in page().all("svg"):
        assert svg.attributes.get("aria-label") or svg.attributes.get("aria-hidden") or svg.children


def test_widths_of_the_outcomes_are_their_shares() -> None:
    bar = next(section(page(), "outcomes").all("svg", "stack"))
    widths = {rect.attributes["class"]: float(rect.attributes["width"]) for rect in bar.all("rect")}
    assert widths == pytest.approx({name: n / 3 for name, n in SUMMARY.outcomes.items()})


def test_every_kind_of_reason_has_an_example() -> None:
    table = cells(section(page(), "reasons"))[1:]
    assert sum(int(row[1]) for row in table) == SUMMARY.outcomes["filtered"] + SUMMARY.outcomes["rejected"]
    assert len(table) == len(SUMMARY.kinds)
    for kind in SUMMARY.kinds.values():
        found = next(row for row in table if kind.example["id"] + ":" in row[2])
        assert found[0] == f"{kind.outcome.capitalize()}, {kind.stage}"
        assert kind.example["reason"] in found[2]
        assert "excerpt" in found[2]


def test_languages_add_up_and_those_without_a_name_are_kept() -> None:
    table = cells(section(page(), "languages"))
    assert {row[0] for row in table[1:-1]} == {"Spanish", "German", "Chinese", "Hebrew", "Not known"}
    for column in range(1, 7):
        assert sum(int(row[column]) for row in table[1:-1]) == int(table[-1][column])


def test_rare_languages_are_counted_together() -> None:
    codes = ["af", "am", "ar", "az", "be", "bg", "bn", "bs", "ca", "cs", "cy", "da", "de", "el", "et"]
    found = [rows.tagged(code, ["Ana."], language=code) for code in codes]
    table = cells(section(page([*found, rows.tagged("u", ["x"], language="zu")]), "languages"))
    assert table[-2][:2] == ["1 other language", "1"]
    assert table[-1][1] == "16"


def test_entities_are_counted_by_type_and_language() -> None:
    table = cells(section(page(), "entities"))
    assert table[0][:6] == ["Language", "PER", "LOC", "ORG", "MISC", "All"]
    for row in table[1:-1]:
        code = {"Spanish": "es", "German": "de", "Chinese": "zh", "Hebrew": "he", "Not known": ""}[row[0]]
        assert [int(n) for n in row[1:5]] == [SUMMARY.languages[code].entities[t] for t in table[0][1:5]]
    assert int(table[-1][5]) == SUMMARY.total.entities.total()


def test_frequent_entities_stand_below_their_type() -> None:
    heads = [node.text() for node in section(page(), "frequent").all("h3")]
    first = cells(next(section(page(), "frequent").all("table")))
    assert heads == ["PER", "LOC", "ORG", "MISC"]
    top = [(key[4:], n) for key, n in SUMMARY.frequent.top(1000) if key.startswith("PER ")]
    assert [(text, int(n)) for text, n in first] == top[: report.FREQUENT]
    note = next(section(page(), "frequent").all("p")).text()
    sure = sum(e["score"] >= SURE for row in ROWS for e in row.get("entities", ()))
    assert (
        f"Of the {sure:,} that the model gave a score of at least 0.8; there are {SUMMARY.total.entities.total():,}"
        in note
    )


def test_approximate_counts_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Frequent, "KEPT", 1_000)
    many = [rows.tagged(f"d{i}", [(f"name {i}", "PER"), " ", ("Ana", "PER")]) for i in range(1_100)]
    text = section(page(many), "frequent").text()
    assert "up to 1 times more" in text
    assert "up to" not in section(page(), "frequent").text()


def test_scores_have_a_bar_and_a_number_for_every_bin() -> None:
    scores = section(page(), "scores")
    figure, table = next(scores.all("figure")), cells(scores)
    numbers = [int(row[1]) for row in table[1:]]
    assert numbers == list(SUMMARY.scores["PER"])
    heights = [float(rect.attributes["height"]) for rect in figure.all("rect")]
    assert heights == pytest.approx([100 * n / max(numbers) for n in numbers])


def test_pace_is_drawn_and_written() -> None:
    pace = section(page(), "pace")
    assert pace.text().strip().startswith("How fast it went")
    assert "10 sentences a second at most" in pace.text()
    assert all(row[-1] == "10.0" for row in cells(pace)[1:])


def test_samples_show_the_text_with_its_entities() -> None:
    samples = section(page(), "samples")
    texts = [p.text(without="type") for p in samples.all("p", "text")]
    assert sorted(texts) == sorted(sample["text"] for sample in SUMMARY.samples.values())
    assert len([*samples.all("mark")]) == sum(len(sample["entities"]) for sample in SUMMARY.samples.values())


def test_a_cut_sample_says_so() -> None:
    text = section(page([rows.tagged("x", ["a" * 800], ["b" * 800])]), "samples").text()
    assert "The first 800 of its 1,601 characters." in text


def test_facts_of_the_run_are_listed() -> None:
    facts = dict(cells(section(page(), "facts")))
    assert facts["fingerprint"] == "0123456789ab"
    assert facts["settings.types"] == "PER, LOC"
    assert facts["bytes"] == "1,234,567"
    assert facts["languages"] == "–"
    assert facts["metaner"] == "0.1.0"


def test_files_are_named_with_their_sizes() -> None:
    files = section(page(), "files")
    assert cells(files)[1:] == [["tagged/", "3", "210", "2.5 MB"], ["other/", "3", "90", "999 bytes"]]
    assert "s3://bucket/out/tagged/**/*.parquet" in next(files.all("pre")).text()


def test_markup_and_control_characters_stay_text() -> None:
    evil = "</p><script>alert(1)</script><img src=x onerror=alert(1)> \u202e \x01 ' onload='x' \""
    found = [
        rows.tagged(evil, [evil, (evil, "PER", 0.3)], language="de"),
        rows.tagged("t", [(evil, evil.split(" ")[0])]),
        rows.other(evil, "rejected", evil, evil, excerpt=evil, language=evil),
    ]
    manifest = {**MANIFEST, "output": evil, "settings": {evil: evil}}
    root = page(found, manifest)
    assert not {node.tag for node in nodes(root)} & {"script", "img"}
    assert not [name for node in nodes(root) for name in node.attributes if name.startswith("on")]
    assert evil * 2 in [p.text(without="type") for p in root.all("p", "text")]


@pytest.mark.parametrize("found", [[], [rows.other("e", "empty")], [rows.tagged("x", ["Ana."])]])
def test_small_runs_and_bare_manifests_have_a_report(found: list[dict[str, Any]]) -> None:
    root = page(found, {}, [])
    assert cells(section(root, "outcomes"))[-1][1] == str(len(found))


@pytest.mark.parametrize("colours", palettes(report.render({}, Summary(), [])), ids=["light", "dark"])
def test_shapes_stand_out_from_their_ground(colours: dict[str, str]) -> None:
    shapes = [
        "tagged",
        "empty",
        "filtered",
        "rejected",
        "bar",
        "PER-ink",
        "LOC-ink",
        "ORG-ink",
        "MISC-ink",
        "OTHER-ink",
    ]
    pairs = {
        (shape, ground): contrast(colours[shape], colours[ground]) for shape in shapes for ground in ("page", "card")
    }
    assert {pair: ratio for pair, ratio in pairs.items() if ratio < 3} == {}  # WCAG 2.2, 1.4.11


def test_it_loads_nothing_and_replaces_its_former_self(tmp_path: Any) -> None:
    uri = str(tmp_path / "out" / "report.html")
    for _ in range(2):
        report.write_report(uri, MANIFEST, SUMMARY, SHARDS)
    html = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert html == report.render(MANIFEST, SUMMARY, SHARDS)
    assert "default-src 'none'" in html
    assert not [node for node in nodes(Reader(html).root) if node.attributes.keys() & {"src", "href"}]


@pytest.mark.parametrize(
    ("encoder", "marked"), [("embedded", ["Hebrew †"]), ("e5-small", []), ("/home/me/own", []), (None, [])]
)
def test_languages_that_the_encoder_was_not_made_for_are_marked(encoder: str | None, marked: list[str]) -> None:
    bundle = {"uri": "b", "fingerprint": "0123456789ab", "encoder": encoder}
    part = section(page(manifest={**MANIFEST, "bundle": bundle}), "languages")
    assert [row[0] for row in cells(part) if "†" in row[0]] == marked
    assert ("was not made for Hebrew." in part.text()) == bool(marked)


def test_a_language_whose_macrolanguage_the_encoder_was_made_for_is_not_marked() -> None:
    found = [rows.tagged(code, ["Ana."], language=code) for code in ("arz", "nob", "gug")]
    strange = report._strange({"bundle": {"encoder": "xlm-roberta-base"}}, Summary.of(found))
    assert set(strange) == {"gn"}
