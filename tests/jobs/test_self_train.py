"""Rounds of tagging and distilling as one command, against the two jobs run by hand."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from jobs.bulk_tag import bulk_tag
from jobs.distill import distill
from jobs.distill import parse as parse_distilling
from jobs.self_train import Rounds, load, self_train, table
from jobs.tagging.job import Job as TaggingJob
from metaner_core.bundles import bundle
from metaner_core.data import corpora
from metaner_core.reading.source import Source
from tests.support.rows import written
from tests.support.tagged import documents

FILE = """bundle = {bundle!r}
rounds = 2
[tag]
input = {crawl!r}
shard_mb = 0.001
[distill]
train = {train!r}
dev = {dev!r}
set = {{ steps = 4, dev_every = 2, batch = 6, gold = 4, rate = 1e-2, optimizer = "sgd", mixed = 2 }}
"""


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: str) -> dict[str, str]:
    """What the file names: a bundle, a crawl in four languages, English labels."""
    folder = tmp_path_factory.mktemp("rounds")
    rows = (json.dumps({"id": d.id, "text": d.text, "language": d.language}) + "\n" for d in documents())
    (folder / "crawl.jsonl").write_text("".join(rows), encoding="utf-8")
    for name, many in (("train", 30), ("dev", 10)):
        sentences = corpora.load("embedded-en", name)[:many]
        text = "\n".join("".join(f"{w}\t{t}\n" for w, t in zip(s.words, s.labels, strict=True)) for s in sentences)
        (folder / name).write_text(text, encoding="utf-8")
    return {"bundle": tiny_bundle, "crawl": str(folder / "crawl.jsonl")} | {
        name: str(folder / name) for name in ("train", "dev")
    }


@pytest.fixture(scope="module")
def file(places: dict[str, str]) -> str:
    path = Path(places["train"]).parent / "rounds.toml"
    path.write_text(FILE.format(**places), encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def output(ray_local: None, file: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of two rounds."""
    place = str(tmp_path_factory.mktemp("output") / "out")
    self_train(load(file, place))
    return place


def test_two_rounds_are_the_two_jobs_twice(output: str, places: dict[str, str], tmp_path: Path) -> None:
    teacher = places["bundle"]
    sets = ["steps=4", "dev_every=2", "batch=6", "gold=4", "rate=1e-2", "optimizer=sgd", "mixed=2"]
    for number in ("1", "2"):
        tagged, student = str(tmp_path / number / "tagged"), str(tmp_path / number / "student")
        source = Source(uri=places["crawl"])
        bulk_tag(TaggingJob(source=source, bundle=teacher, output=tagged, shard_mb=0.001, keep_probabilities=True))
        assert written(Path(output, number, "tagged"), "tagged") == written(Path(tagged), "tagged")
        labels = [f"--train={places['train']}", f"--dev={places['dev']}", f"--storage={tmp_path / 'runs'}"]
        distill(parse_distilling(["--tagged", tagged, "--output", student, *labels, *(f"--set={s}" for s in sets)])[0])
        found, by_hand = (bundle.load(uri).manifest for uri in (f"{output}/{number}/student", student))
        assert found["files"] == by_hand["files"]
        teacher = student


def test_the_student_of_the_first_round_tags_in_the_second(output: str, places: dict[str, str]) -> None:
    first, second = (json.loads(Path(output, n, "tagged", "manifest.json").read_bytes()) for n in "12")
    assert first["bundle"]["uri"] == places["bundle"]
    assert second["bundle"]["uri"] == f"{output}/1/student"
    assert (first["adapted"], second["adapted"]) == (True, False)


def test_what_is_done_stays_and_a_further_round_goes_on_behind_it(
    output: str, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path: path.stat().st_mtime_ns for path in Path(output).rglob("*") if path.is_file()}
    with monkeypatch.context() as patch:
        patch.setattr("jobs.bulk_tag._tag", None)
        patch.setattr("jobs.training.learning.fit", None)
        assert len(self_train(load(file, output))) == 3
    found = self_train(load(file, output, rounds=3))
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert found[3]["distilled"]["teachers"] == [f"{output}/2/student"]


def test_the_table_has_every_round_with_its_dev_f1(output: str, file: str) -> None:
    found = self_train(load(file, output))
    console = Console(file=io.StringIO(), width=110)
    console.print(table(found))
    rows = [line for line in console.file.getvalue().splitlines() if line.startswith("│")]  # type: ignore[attr-defined]
    cells = [[cell.strip() for cell in row.strip("│").split("│")] for row in rows]
    assert [row[0] for row in cells] == ["begun with", "1", "2"]
    for manifest, row in zip(found, cells, strict=True):
        assert row[3] == f"{manifest['best']['dev_f1']:.2f}"
    kept = found[1]["distilled"]["selection"]["kept"]
    assert cells[1][1:3] == [f"{kept['sentences']:,}", f"{sum(kept['names'].values()):,}"]


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("rounds = 2", "rounds = 0", "rounds is 0; it must be a whole number from 1 on"),
        ("rounds = 2", "rounds = true", "rounds is True; it must be a whole number from 1 on"),
        ("rounds = 2", "round = 2", r"round is not known; there are bundle, rounds, tag, distill"),
        ("[distill]", "[teach]", "distill is not there; it must be a table of that command's options"),
        ("shard_mb = 0.001", "shard_mb = -1", "shard_mb is -1; it must be above 0"),
        (
            "shard_mb = 0.001",
            "shard_bm = 1",
            r"\[tag\]:\s+shard_bm is no option .* mean shard-mb",
        ),
        ("shard_mb = 0.001", "output = 'x'", r"\[tag\] output: a round sets it itself; leave it out"),
        ("shard_mb = 0.001", "keep_unadapted = true", r"\[tag\] keep_unadapted: .*student tags, .*give its student as"),
        ("steps = 4", "stepps = 4", "stepps"),
        ("rounds = 2", "rounds", r"rounds\.toml: .*the rounds are a TOML file"),
    ],
)
def test_what_is_wrong_in_the_file_is_told_before_any_work(
    places: dict[str, str], tmp_path: Path, before: str, after: str, told: str
) -> None:
    text = FILE.format(**places)
    assert before in text
    (tmp_path / "rounds.toml").write_text(text.replace(before, after), encoding="utf-8")
    with pytest.raises(ValueError, match=told):
        load(str(tmp_path / "rounds.toml"), str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_the_first_round_alone_may_keep_what_was_before_adapting(places: dict[str, str], tmp_path: Path) -> None:
    text = FILE.format(**places).replace("rounds = 2", "rounds = 1").replace("[tag]", "[tag]\nkeep_unadapted = true")
    (tmp_path / "rounds.toml").write_text(text, encoding="utf-8")
    job = load(str(tmp_path / "rounds.toml"), str(tmp_path / "out"))
    assert isinstance(job, Rounds)
    assert job.tagging(1, job.bundle).keep_unadapted
