"""A tagging run whose storage fails for longer than its requests are tried, and then no more."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from jobs.bulk_tag import bulk_tag
from jobs.tagging.job import Job
from jobs.tagging.stages.pipeline import Instead
from metaner_core.reading.source import Source
from tests.support.rows import written

pytestmark = pytest.mark.usefixtures("ray_local")
SLOW_DOWN = "When reading information for key 'x' in bucket 'b': AWS Error SLOW_DOWN during HeadObject operation"


@pytest.fixture
def job(tiny_bundle: str, tmp_path: Path) -> Job:
    (tmp_path / "in.jsonl").write_text("".join(json.dumps({"id": id_, "text": "Ana."}) + "\n" for id_ in "abc"))
    source = Source(uri=str(tmp_path / "in.jsonl"))
    return Job(source=source, bundle=tiny_bundle, output=str(tmp_path / "out"), adapted=False)


def failing(folder: Path, times: int, why: str) -> Any:
    """A tagger that fails so often, counted in a folder, before it does its work."""

    def tag(bundle: Any, documents: Any, **how: Any) -> Iterable[Any]:
        from jobs.tagging.model import iter_documents

        failed = len(list(folder.iterdir()))
        if failed < times:
            (folder / str(failed)).touch()
            raise OSError(why)
        return iter_documents(bundle, documents, **how)

    return tag


def test_the_shard_is_tried_again_where_its_model_is(job: Job, tmp_path: Path) -> None:
    (tmp_path / "failed").mkdir()
    manifest = bulk_tag(job, instead=Instead(tag=failing(tmp_path / "failed", 2, SLOW_DOWN)))
    assert manifest["counts"]["outcomes"] == {"tagged": 3, "empty": 0, "filtered": 0, "rejected": 0}
    assert written(job.output, "tagged").keys() == set("abc")
    assert len(list((tmp_path / "failed").iterdir())) == 2


@pytest.mark.parametrize(("why", "times"), [(SLOW_DOWN, 4), ("[Errno 28] No space left on device", 1)])
def test_but_not_for_ever_nor_for_any_reason(job: Job, tmp_path: Path, why: str, times: int) -> None:
    (tmp_path / "failed").mkdir()
    with pytest.raises(Exception, match=why.replace("[", r"\[")):
        bulk_tag(job, instead=Instead(tag=failing(tmp_path / "failed", 99, why)))
    assert len(list((tmp_path / "failed").iterdir())) == times
