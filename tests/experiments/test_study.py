"""What stands in a report: the comparisons, their correction, where adapting gains, and a page that is only text."""

import re
from collections.abc import Sequence
from typing import Any

import pytest

from metaner_core.experiments import layout, page, published, tables
from metaner_core.experiments.gains import by_recall, by_similarity, by_type
from metaner_core.experiments.published import COLUMNS, OTHERS, SYSTEMS, figure
from metaner_core.experiments.scored import Column, Scored, System
from metaner_core.experiments.significance import holm
from metaner_core.experiments.study import Row, Study
from tests.support.cells import cell

ROWS = [Row("base", "base <model>", "unadapted", "base model"), Row("full", "full method", "adapted", "full method")]
TESTS = ("conll2002-es", "europeana-fr")
CURVE = {"encoder": "embedded", "variant": "full", "types": ["PER"], "seed": 0, "seconds": 3.0}


def study(cells: Sequence[dict[str, Any]] | None = None, **changes: Any) -> Study:
    found = cells or [
        cell(variant=v, seed=s, test=t, skill=skill)
        for v, skill in (("base", 0.6), ("full", 0.7))
        for s in (0, 1)
        for t in TESTS
    ]
    history = [{"update": 100, "loss": 1.0, "dev_f1": 50.0}, {"update": 200, "loss": 0.5, "dev_f1": 80.0}]
    given = {"title": "A <grid>", "rows": ROWS, "baseline": "base", "encoders": {"embedded": "embedded"}}
    own = {"cells": [Scored.of(c) for c in found], "curves": [{**CURVE, "history": history}]}
    return Study(**{**given, **own, **changes})


def test_variants_are_compared_with_the_baseline_and_adapted_with_unadapted() -> None:
    found = [
        (c.column[0], c.system.variant, c.system.engine, c.other.variant, c.other.engine) for c in study().comparisons
    ]
    assert found == [
        (test, *pair)
        for test in TESTS
        for pair in (
            ("base", "adapted", "base", "unadapted"),
            ("full", "adapted", "base", "unadapted"),
            ("full", "adapted", "full", "unadapted"),
        )
    ]


def test_all_comparisons_of_a_study_are_corrected_together() -> None:
    found = study().comparisons
    assert [c.corrected for c in found] == holm([c.found.p for c in found])
    assert [c.sure for c in found] == [c.corrected < 0.05 for c in found]
    assert {c.sure for c in found} == {True, False}


def test_cells_that_are_not_done_leave_gaps() -> None:
    part = study([cell(variant="full"), cell(variant="base", test="europeana-fr")], missing=["x/y"])
    assert (
        part.spread(Column("conll2002-es", ("PER", "LOC", "ORG", "MISC")), System("embedded", "base", "unadapted"))
        is None
    )
    assert {(c.system.variant, c.other.variant) for c in part.comparisons} == {("base", "base"), ("full", "full")}
    assert "1 still missing" in page.render(part, [])


def test_what_is_scored_unadapted_alone_has_one_score_and_is_compared_by_it() -> None:
    alone = cell(variant="base")
    for part in ("counts", "seconds"):
        del alone["result"][part]["adapted"]
    found = study([alone, cell(variant="full")])
    assert [(c.system.variant, c.system.engine, c.other.variant) for c in found.comparisons] == [
        ("full", "adapted", "base"),
        ("full", "adapted", "full"),
    ]
    rows = tables.tables(found)["results"].to_pylist()
    engines = {v: {row["engine"] for row in rows if row["variant"] == v} for v in ("base", "full")}
    assert engines == {"base": {"unadapted"}, "full": {"unadapted", "adapted"}}
    (line,) = [line for line in layout.table(found, "embedded", 0).lines if line.row.variant == "base"]
    assert line.figures[0].spread is not None
    assert "base &lt;model&gt;" in page.render(found, [])


def test_parts_of_the_sentences_add_up_to_the_whole() -> None:
    cells = [Scored.of(cell(seed=seed)) for seed in (0, 1)]
    gold = int(cells[0].tally["gold"].sum())
    for groups in (by_similarity(cells), by_recall(cells), by_type(cells)):
        assert sum(group.gold for group in groups) == pytest.approx(gold, abs=len(groups))  # a mean rounds down
    for group in by_recall(cells):
        assert group.gold > 0 or group.label == "no entity in it"


def test_f1_of_a_part_is_of_its_sentences_alone() -> None:
    scored = Scored.of(cell(sentences=50))
    nearest = by_similarity([scored])[-1]
    low = float(nearest.label.split(" ")[0])
    rows = [i for i, s in enumerate(scored.tally["similarity"]) if s / 1000 >= low - 0.005]
    assert nearest.gold <= sum(int(scored.tally["gold"][i]) for i in rows)
    perfect = {**scored.tally, "adapted.correct": scored.tally["gold"], "adapted.predicted": scored.tally["gold"]}
    whole = by_similarity([Scored(**{**scored.__dict__, "tally": perfect})])
    assert {group.after for group in whole} == {100.0}


def test_published_figures_stand_beside_the_papers_tests_only() -> None:
    assert figure("full method", "msra-zh") == 77.89
    assert figure("Tsai et al. 2016", "europeana-fr") is None
    assert figure("full method", "embedded-es") is None
    assert all(len(row) == len(COLUMNS) for row in SYSTEMS.values())
    averages = {
        "base model": 70.45,
        "full method": 72.71,
        "without max loss": 71.36,
        "without both": 71.25,
        "without masking": 72.16,
    }
    for name, average in averages.items():  # as the paper's own column has them
        assert sum(SYSTEMS[name]) / 5 == pytest.approx(average, abs=0.011)
    assert len(OTHERS) == 6


def test_the_page_is_whole_escapes_what_it_shows_and_loads_nothing() -> None:
    html = page.render(study(), [("Output", "out/<x>")])
    assert "<b>Paris" not in html
    assert "&lt;b&gt;Paris&lt;/b&gt;" in html
    assert "A &lt;grid&gt;" in html
    assert "base &lt;model&gt;" in html
    assert not re.search(r"<script|src=|href=|url\(", html)
    assert "76.75" in html, "the paper's figure for Spanish"
    assert "55.30" in html
    for spread in (study().spread(c, System("embedded", "full", "adapted")) for c in study().columns):
        assert spread is not None
        assert f"<strong>{spread.mean:.2f}</strong> ± {spread.deviation:.2f}" in html


def with_shares() -> Study:
    """Base and full without labels and with 2%, where ml is too; full's adapted score there is not its own."""
    parts = [("base", 0, 0.6), ("full", 0, 0.65), ("base", 2, 0.7), ("full", 2, 0.75), ("ml", 2, 0.68)]
    cells = [cell(variant=v, seed=s, share=share, skill=skill) for v, share, skill in parts for s in (0, 1)]
    return study(cells, rows=[*ROWS, Row("ml", "both together", "unadapted")])


def test_with_labels_all_are_read_unadapted_and_adapted_stands_below() -> None:
    low = with_shares()
    assert low.shares == [0, 2]
    tables = [layout.table(low, "embedded", share) for share in low.shares]
    assert [line.row.label for line in tables[0].lines] == ["base <model>", "full method"], "ml is of no such table"
    assert [(line.row.label, line.row.engine) for line in tables[1].lines] == [
        ("base <model>", "unadapted"),
        ("full method", "unadapted"),
        ("full method, adapted", "adapted"),
        ("both together", "unadapted"),
    ]
    spread = low.spread(low.columns[1], System("embedded", "full", "unadapted"))
    assert spread is not None
    assert tables[1].lines[1].average == pytest.approx(spread.mean)


def test_systems_are_compared_with_the_baseline_that_has_seen_as_many_labels() -> None:
    found = {(c.column.share, c.system.variant, c.system.engine, c.other.engine) for c in with_shares().comparisons}
    against = {pair for pair in found if pair[1] == "full"}
    assert against == {
        (0, "full", "adapted", "unadapted"),
        (2, "full", "unadapted", "unadapted"),
        (2, "full", "adapted", "unadapted"),
    }
    assert {pair[0] for pair in found if pair[1] == "ml"} == {2}


def test_the_papers_table_5_as_far_as_it_can_be_read() -> None:
    assert [published.average("base model", share) for share in (1, 2, 5)] == [74.24, 75.88, 77.81]
    assert [published.average("full method", share) for share in (1, 2, 5)] == [75.70, 77.32, 79.32]
    assert figure("full method", "msra-zh", 5) == 85.67
    assert figure("full method", "conll2002-es", 2) is None
    assert figure("full method", "msra-zh", 2.5) is published.average("full method", 2.5) is None
    html = page.render(with_shares(), [])
    assert "scores with 2% of the language" in html
    assert "77.32" in html
    assert "what labels of the language bring" in html
    assert "what labels of the language bring" not in page.render(study(), [])


def test_f1_against_labels_is_a_line_from_none_to_the_most() -> None:
    low = with_shares()
    (picture,) = page._part(low, "embedded")["gained"]
    lines = {label: points for label, _, points in picture.lines}
    assert [x for x, _ in lines["full method"]] == [0, 100]
    assert [x for x, _ in lines["both together"]] == [100]
    spread = low.spread(low.columns[0], System("embedded", "full", "adapted"))
    assert spread is not None
    y = lines["full method"][0][1]
    assert picture.high - y / 100 * (picture.high - picture.low) == pytest.approx(spread.mean)


def test_a_score_that_is_alone_is_a_dot_in_the_picture() -> None:
    dots = re.findall(r'<path class="dot [^>]* d="M100.00 [0-9.]+ h0"><title>([^<]*)', page.render(with_shares(), []))
    assert dots == ["both together"]


def test_every_figure_of_the_tables_has_its_interval() -> None:
    low = with_shares()
    found = {w.column.share: [label for label, _ in w.lines] for w in page._part(low, "embedded")["whiskers"]}
    for table in (layout.table(low, "embedded", share) for share in low.shares):
        assert found[table.share] == [line.row.label for line in table.lines]


def test_an_empty_study_has_a_page() -> None:
    empty = study(cells=[cell()], curves=[])
    assert "Not done yet" not in page.render(empty, [])
    nothing = Study(title="x", rows=ROWS, baseline="base", cells=[], missing=["a/b"], encoders={"embedded": "e"})
    assert "a/b" in page.render(nothing, [])
    assert [table.num_rows for table in tables.tables(nothing).values()] == [0, 0, 0]


def test_tables_hold_what_the_page_shows() -> None:
    found = tables.tables(study())
    rows = found["results"].to_pylist()
    spanish = [
        r for r in rows if (r["test"], r["variant"], r["engine"], r["type"]) == (TESTS[0], "full", "adapted", "all")
    ]
    assert [row["seed"] for row in spanish] == [0, 1]
    assert {row["published"] for row in spanish} == {76.75}
    spread = study().spread(study().columns[0], System("embedded", "full", "adapted"))
    assert spread is not None
    assert sum(row["f1"] for row in spanish) / 2 == pytest.approx(spread.mean)
    assert found["comparisons"].column("p_within").to_pylist()[0][0][0] == 0
    assert found["curves"].column("dev_f1").to_pylist() == [50.0, 80.0]
