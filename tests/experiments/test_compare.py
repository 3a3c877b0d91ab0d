"""Two evaluations' names: written, read back, and what the one found that the other did not."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from metaner_core.data.labels import Span
from metaner_core.data.scoring import count, scores
from metaner_core.experiments.compare import compare, frequent, main, table
from metaner_core.experiments.names import Named, read, write

WORDS = (("Ana", "Ruiz", "viaja", "a", "Lima"), ("El", "Banco", "abre"), ("Nada",))
GOLD = [{Span("PER", 0, 2), Span("LOC", 4, 5)}, {Span("ORG", 1, 2)}, set[Span]()]
BEFORE = [{Span("PER", 0, 1), Span("LOC", 4, 5)}, set[Span](), {Span("MISC", 0, 1)}]
AFTER = [{Span("PER", 0, 2)}, {Span("ORG", 1, 2)}, {Span("LOC", 0, 1)}]


def named(test: str = "es", **names: list[set[Span]]) -> Named:
    return Named(test=test, words=WORDS, names={"gold": GOLD, **names})


def labels(found: list[set[Span]]) -> list[list[str]]:
    """As BIO, by hand."""
    made = [["O"] * len(words) for words in WORDS]
    for sentence, spans in zip(made, found, strict=True):
        for span in spans:
            sentence[span.start : span.end] = [f"I-{span.type}"] * (span.end - span.start)
            sentence[span.start] = f"B-{span.type}"
    return made


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    uri = str(tmp_path / "names.parquet")
    write(uri, "out/bundle", [named(unadapted=BEFORE, adapted=AFTER), named("nl", unadapted=AFTER, adapted=BEFORE)])
    bundle, tests = read(uri)
    assert bundle == "out/bundle"
    assert [test.test for test in tests] == ["es", "nl"]
    assert [tuple(map(tuple, test.words)) for test in tests] == [WORDS, WORDS]
    assert tests[0].names == {"gold": GOLD, "unadapted": BEFORE, "adapted": AFTER}
    assert tests[1].names == {"gold": GOLD, "unadapted": AFTER, "adapted": BEFORE}


def test_changes_are_those_counted_by_hand() -> None:
    (change,) = compare([named(unadapted=BEFORE)], [named(unadapted=AFTER)])
    assert change.names == {
        "gained": {("Ana Ruiz", "PER"): 1, ("Banco", "ORG"): 1},
        "lost": {("Lima", "LOC"): 1},
        "wrong, new": {("Nada", "LOC"): 1},
        "wrong, gone": {("Ana", "PER"): 1, ("Nada", "MISC"): 1},
    }
    for f1, found in zip(change.f1, (BEFORE, AFTER), strict=True):
        assert f1 == pytest.approx(scores(count(labels(GOLD), labels(found))).overall.f1)
    assert change.comparison.difference == pytest.approx(change.f1[1] - change.f1[0])
    assert change.comparison.low <= change.comparison.difference <= change.comparison.high
    assert next(iter(frequent(change, 8))) == "gained: Ana Ruiz (PER); Banco (ORG)"


def test_the_interval_is_narrow_of_many_sentences_and_holds_zero_for_the_same_tagger() -> None:
    def many(found: list[set[Span]]) -> Named:
        return Named(test="es", words=WORDS * 200, names={"gold": GOLD * 200, "unadapted": found * 200})

    (better,) = compare([many(BEFORE)], [many(AFTER)])
    (same,) = compare([many(BEFORE)], [many(BEFORE)])
    assert 0 < better.comparison.low < better.comparison.high < 2 * better.comparison.difference
    assert (same.comparison.low, same.comparison.high, same.names["gained"].total()) == (0, 0, 0)


def test_adapted_is_compared_where_a_side_has_it_unless_another_is_asked_for() -> None:
    both, plain = [named(unadapted=BEFORE, adapted=AFTER)], [named(unadapted=BEFORE)]
    assert compare(both, plain)[0].names["lost"] == {("Ana Ruiz", "PER"): 1, ("Banco", "ORG"): 1}
    assert compare(both, plain, "unadapted")[0].names["lost"] == {}
    with pytest.raises(ValueError, match="es was not scored adapted: leave --adapted out"):
        compare(both, plain, "adapted")


@pytest.mark.parametrize(
    ("after", "why"),
    [
        (named("nl", unadapted=AFTER), "no test in common: es and nl; score both bundles on the same --corpus"),
        (Named(test="es", words=WORDS[:2], names={"gold": GOLD[:2], "unadapted": AFTER[:2]}), "es: not the same"),
        (Named(test="es", words=WORDS, names={"gold": BEFORE, "unadapted": AFTER}), "es: not the same"),
    ],
)
def test_what_cannot_be_compared_is_refused(after: Named, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        compare([named(unadapted=BEFORE)], [after])


def parquet_of_another(path: Path) -> None:
    pq.write_table(pa.table({"test": ["es"], "words": [["a"]], "gold": [[1]]}), path)


def other_columns(path: Path) -> None:
    pq.write_table(pa.table({"test": ["es"]}).replace_schema_metadata({"metaner.bundle": "x"}), path)


def nobody_s(path: Path) -> None:
    write(str(path), "b", [named()])


def cut_short(path: Path) -> None:
    write(str(path), "b", [named(unadapted=BEFORE)])
    path.write_bytes(path.read_bytes()[:-20])


@pytest.mark.parametrize("make", [parquet_of_another, other_columns, nobody_s, cut_short])
def test_a_file_of_something_else_is_refused(make: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / "names.parquet"
    make(path)
    with pytest.raises(ValueError, match=r"names\.parquet has no names to compare: .*give one that it wrote"):
        read(str(path))
    with pytest.raises(FileNotFoundError, match="give a file that `metaner evaluate --names` wrote"):
        read(str(tmp_path / "none.parquet"))


def test_the_command_tells_each_file_against_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [str(tmp_path / f"{name}.parquet") for name in ("teacher", "control", "student")]
    for file, found in zip(files, (BEFORE, BEFORE, AFTER), strict=True):
        write(file, "out/bundle", [named(unadapted=found), *([named("nl", unadapted=found)] if found is AFTER else [])])
    monkeypatch.setattr("sys.argv", ["metaner compare", *files, "--most", "1"])
    monkeypatch.chdir(tmp_path)
    main()
    told = capsys.readouterr().out
    assert "es, " in told
    assert [" ".join(told.split()).count(f"{file}: of out/bundle") for file in files] == [1, 1, 1]
    assert " ".join(told.split()).count(f"nl is not compared: {files[0]} or {files[2]} does not have it") == 1
    assert told.count("gained: none") == told.count("gained: Ana Ruiz (PER)") == 1


def test_the_table_has_a_row_of_means() -> None:
    before = [named("es", unadapted=BEFORE), named("nl", unadapted=BEFORE)]
    changed = compare(before, [named("es", unadapted=BEFORE), named("nl", unadapted=AFTER)])
    made = table({"student": changed})
    rows = list(zip(*(column.cells for column in made.columns), strict=True))
    assert rows[0][:7] == ("es", "3", "student", "33.33", "33.33", "+0.00", "+0.00 to +0.00")
    assert (rows[1][:6], rows[1][7:]) == (("nl", "3", "student", "33.33", "66.67", "+33.33"), ("2", "1", "1", "2"))
    assert rows[2] == ("mean of 2", "", "student", "33.33", "50.00", "+16.67", *[""] * 5)
    assert "mean" not in str(list(table({"student": changed[:1]}).columns[0].cells))


def test_nothing_is_shown_of_less_than_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["metaner compare", "a", "b", "--most", "-1"])
    with pytest.raises(ValueError, match="--most is -1; it must be at least 0"):
        main()


def test_bootstrap_draws_the_same_sentences_for_both() -> None:
    """A tagger that is better by one name in every sentence is so in every resample."""
    n = 50
    words = [("a", "b")] * n
    gold = [{Span("PER", 0, 1), Span("LOC", 1, 2)} for _ in range(n)]
    half, whole = [{Span("PER", 0, 1)} for _ in range(n)], gold
    sides = [Named(test="x", words=words, names={"gold": gold, "unadapted": found}) for found in (half, whole)]
    (change,) = compare(sides[:1], sides[1:])
    assert np.allclose([change.comparison.low, change.comparison.high], change.comparison.difference)
