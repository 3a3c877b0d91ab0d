"""Estimates against simulated crawls whose truth is known."""

import dataclasses
import json
from typing import Any

import numpy as np
import pytest

from metaner_core.report import estimate as module
from metaner_core.report.estimate import Estimate, Range, Sampled, estimate

PLACE = 8  # documents


class Crawl:
    """Documents of log-normal length; tagging takes time by length, a fifth are filtered."""

    def __init__(self, documents: int, *, spread: float = 1.0, seed: int = 0) -> None:
        draw = np.random.default_rng(seed)
        self.text = draw.lognormal(6.5, spread, documents).astype(int) + 1
        tagged = draw.random(documents) > 0.2
        self.sentences = np.where(tagged, 1 + self.text // 90, 0)
        self.seconds = np.where(tagged, 0.02 + self.text / 3000 * draw.lognormal(0, 0.3, documents), 1e-4)
        self.bytes = np.where(tagged, 300 + 4 * self.text, 200)

    def sample(self, places: int, draw: np.random.Generator) -> list[Sampled]:
        starts = draw.integers(0, len(self.text) // PLACE, places) * PLACE
        return [self.place(slice(start, start + PLACE)) for start in starts]

    def place(self, at: slice) -> Sampled:
        sums = [part[at].sum() for part in (self.sentences, self.seconds, self.bytes, self.text)]
        return Sampled(len(self.text[at]), int(sums[0]), float(sums[1]), int(sums[2]), int(sums[3]))


CRAWL = Crawl(40_000)


def of(sample: list[Sampled], **options: Any) -> Estimate:
    return estimate(sample, **{"documents": 40_000, "actors": 4, **options})


@pytest.mark.parametrize("text_known", [True, False])
@pytest.mark.parametrize("places", [20, 60])
def test_the_interval_holds_the_truth_about_95_times_in_100(
    places: int, text_known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RESAMPLES", 400)
    draw = np.random.default_rng(places)
    truth = {"hours": CRAWL.seconds.sum() / 4 / 3600, "sentences": CRAWL.sentences.sum(), "bytes": CRAWL.bytes.sum()}
    held = dict.fromkeys(truth, 0)
    for _ in range(200):
        found = of(CRAWL.sample(places, draw), text_bytes=int(CRAWL.text.sum()) if text_known else None)
        for name, value in truth.items():
            held[name] += getattr(found, name).low <= value <= getattr(found, name).high
    assert all(0.88 <= n / 200 <= 0.99 for n in held.values()), held


def test_the_expected_value_is_right_on_average() -> None:
    draw = np.random.default_rng(0)
    hours = [of(CRAWL.sample(30, draw)).hours.expected for _ in range(100)]
    assert np.mean(hours) == pytest.approx(CRAWL.seconds.sum() / 4 / 3600, rel=0.03)


def test_knowing_the_text_narrows_the_interval() -> None:
    sample = CRAWL.sample(60, np.random.default_rng(0))
    blind, informed = of(sample).hours, of(sample, text_bytes=int(CRAWL.text.sum())).hours
    assert informed.high - informed.low < 0.7 * (blind.high - blind.low)


def test_text_is_not_used_where_a_place_does_not_tell_it() -> None:
    sample = CRAWL.sample(20, np.random.default_rng(0))
    sample[3] = dataclasses.replace(sample[3], text_bytes=None)
    assert of(sample, text_bytes=10**9) == of(sample)


def test_more_places_narrow_the_interval() -> None:
    few, many = (of(CRAWL.sample(n, np.random.default_rng(0))).hours for n in (20, 500))
    assert many.high - many.low < 0.4 * (few.high - few.low)


def test_a_sample_of_everything_is_exact() -> None:
    small = Crawl(80)
    found = of([small.place(slice(at, at + PLACE)) for at in range(0, 80, PLACE)], documents=80)
    for value, truth in ((found.sentences, small.sentences.sum()), (found.bytes, small.bytes.sum())):
        assert value == pytest.approx((truth, truth, truth))


def test_hours_are_shared_by_the_actors_after_the_start() -> None:
    sample = CRAWL.sample(20, np.random.default_rng(0))
    one, eight = of(sample, actors=1).hours, of(sample, actors=8, startup_seconds=360).hours
    assert eight == pytest.approx([value / 8 + 0.1 for value in one])


def test_the_last_round_of_shards_is_waited_for() -> None:
    sample = CRAWL.sample(20, np.random.default_rng(0))
    even, odd = (of(sample, actors=8, shards=shards).hours for shards in (16, 9))
    assert even == of(sample, actors=8).hours
    assert odd == pytest.approx([value * 16 / 9 for value in even])


def test_cost_is_the_actors_hours_times_the_price() -> None:
    sample = CRAWL.sample(20, np.random.default_rng(0))
    found = of(sample, price=2.5)
    assert found.cost == pytest.approx([10 * value for value in found.hours])
    assert of(sample).cost is None


def test_the_same_sample_has_the_same_estimate() -> None:
    assert of(CRAWL.sample(20, np.random.default_rng(1))) == of(CRAWL.sample(20, np.random.default_rng(1)))


def test_places_that_are_all_alike_have_no_width() -> None:
    found = of([Sampled(2, 10, 1.0, 100)] * 10)
    assert found.sentences == pytest.approx((200_000, 200_000, 200_000))


def test_nothing_to_tag_is_nothing() -> None:
    assert of([Sampled(2, 0, 0.0, 0)] * 10).sentences == Range(0, 0, 0)


def test_sentences_in_one_place_only_have_a_wide_interval() -> None:
    found = of([Sampled(2, 0, 0.1, 10)] * 9 + [Sampled(2, 50, 0.1, 10)]).sentences
    assert found.low < 0.7 * found.expected
    assert found.high > 2 * found.expected


def test_a_place_without_text_is_one_of_no_size() -> None:
    sample = [*CRAWL.sample(20, np.random.default_rng(0)), Sampled(PLACE, 0, 0.0, 100, 0)]
    assert of(sample, text_bytes=10**8).hours == pytest.approx(of(sample[:-1], text_bytes=10**8).hours, rel=0.1)
    assert of([Sampled(2, 0, 0.1, 10, 0)] * 9, text_bytes=10**8) == of([Sampled(2, 0, 0.1, 10)] * 9)


def test_it_reads_well() -> None:
    lines = str(of([Sampled(2, 10, 1.0, 100)] * 10, price=1.5)).splitlines()
    assert lines[1:4] == [
        "sentences  200,000, likely 200,000 to 200,000",
        "time       1 h 23 min, likely 1 h 23 min to 1 h 23 min, on 4 actors",
        "output     2 MB, likely 2 MB to 2 MB",
    ]
    assert lines[4].startswith("cost       8.33")
    assert "give a price" in str(of([Sampled(2, 10, 1.0, 100)] * 10))


def test_it_is_written_as_json() -> None:
    found = of(CRAWL.sample(20, np.random.default_rng(0)), price=1).to_dict()
    assert json.loads(json.dumps(found)) == found
    assert found["hours"].keys() == {"expected", "low", "high"}
    assert (found["places"], found["sampled"], found["documents"]) == (20, 160, 40_000)


def test_all_that_does_not_fit_is_said_at_once() -> None:
    with pytest.raises(ValueError, match="estimate:") as error:
        of([Sampled(0, 0, 0.0, 0), Sampled(9, 0, 0.0, 0)], documents=5, actors=0, price=-1)
    for part in ("has 2 places", "no document", "5 documents, the sample more", "actors is 0", "price is -1"):
        assert part in str(error.value)
