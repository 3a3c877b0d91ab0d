"""Batches: whole words are masked at the given rate, rows are what they should be, workers see parts of one batch."""

import numpy as np
import pytest
import torch

from metaner_core.pretrain.masked.batches import Batches, _cut
from metaner_core.pretrain.packed import Packed
from tests.support.pretrain_small import packed_small, small

CLS, SEP, MASK = 2, 3, 4
BATCHES = 60


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Packed:
    return packed_small(tmp_path_factory.mktemp("packed"))


def words(packed: Packed, row: np.ndarray) -> list[list[int]]:
    """Places of each word's pieces, told from the pieces' names."""
    found: list[list[int]] = []
    inside = False
    for place, number in enumerate(row.tolist()):
        piece = packed.tokenizer.id_to_token(number)
        if number < 5:
            inside = False
            continue
        if inside and piece.startswith("##"):
            found[-1].append(place)
        else:
            found.append([place])
        inside = True
    return found


@pytest.mark.parametrize("rate", [0.15, 0.4])
def test_the_mask_rate_and_the_fates_of_what_is_chosen(packed: Packed, rate: float) -> None:
    draw = Batches(packed, small(mask_rate=rate, whole_words=False, batch=32))
    batches = [draw(step) for step in range(BATCHES)]
    ids, inputs, targets = (
        np.concatenate([getattr(b, n) if n != "ids" else b.rows.ids for b in batches])
        for n in ("ids", "inputs", "targets")
    )
    ordinary = ids >= 5
    assert not targets[~ordinary].any()
    assert np.array_equal(inputs[~targets], ids[~targets])
    assert targets[ordinary].mean() == pytest.approx(rate, abs=0.01)
    chosen, was = inputs[targets], ids[targets]
    assert (chosen == MASK).mean() == pytest.approx(0.8, abs=0.02)
    assert (chosen == was).mean() == pytest.approx(0.1, abs=0.02)
    assert chosen[chosen != MASK].min() >= 5


def test_words_are_masked_whole(packed: Packed) -> None:
    draw = Batches(packed, small(batch=32))
    long_words = masked = 0
    for step in range(10):
        batch = draw(step)
        for row, targets in zip(batch.rows.ids, batch.targets, strict=True):
            for places in words(packed, row):
                assert len(set(targets[places].tolist())) == 1
                long_words += len(places) > 1
                masked += bool(targets[places[0]]) and len(places) > 1
    assert long_words > 200
    assert masked / long_words == pytest.approx(0.2, abs=0.06)


def test_pieces_are_masked_one_by_one_when_asked(packed: Packed) -> None:
    batch = Batches(packed, small(batch=64, whole_words=False))(0)
    rows = zip(batch.rows.ids, batch.targets, strict=True)
    assert any(len(set(targets[places].tolist())) == 2 for row, targets in rows for places in words(packed, row))


def test_batches_and_masks_do_not_depend_on_the_number_of_workers(
    packed: Packed, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Batches(packed, small())(5).shared("cpu")
    monkeypatch.setattr("metaner_core.workers.count", lambda: 3)
    for rank in range(3):
        monkeypatch.setattr("metaner_core.workers.rank", lambda rank=rank: rank)
        part = Batches(packed, small())(5).shared("cpu")
        for name, rows in whole.items():
            assert torch.equal(part[name], rows[rank::3]), name


def test_batches_differ_from_step_to_step_and_from_seed_to_seed(packed: Packed) -> None:
    drawn = [Batches(packed, small(seed=seed))(step).inputs.tobytes() for seed in (0, 1) for step in (0, 1)]
    assert len(set(drawn)) == 4


def test_a_row_of_text_is_a_stretch_of_one_language(packed: Packed) -> None:
    batch = Batches(packed, small(translation_share=0.0, batch=40))(0)
    streams = {language: ids.astype(np.uint16).tobytes() for language, ids in packed.mono.items()}
    seen = set()
    for row in batch.rows.ids:
        assert (row[0], row[-1]) == (CLS, SEP)
        inside = row[1:-1].astype(np.uint16).tobytes()
        found = [language for language, stream in streams.items() if inside in stream]
        assert found
        seen |= set(found)
    assert seen == set(packed.mono)
    assert not batch.rows.types.any()
    assert (batch.rows.positions == np.arange(32)).all()


def test_a_row_of_translations_holds_whole_pairs_side_by_side(packed: Packed) -> None:
    """Each side ends with [SEP]; types alternate; both sides of a pair count positions from the same one."""
    length = 120
    batch = Batches(packed, small(translation_share=1.0, batch=40, length=length))(0)
    pairs = {tuple(map(bytes, packed.pairs["xx"][i])) for i in range(len(packed.pairs["xx"]))}
    several = turned = 0
    for ids, types, positions in zip(batch.rows.ids, batch.rows.types, batch.rows.positions, strict=True):
        ends = np.flatnonzero(ids == SEP)
        starts = [1, *(ends[:-1] + 1)]
        assert len(ends) % 2 == 0
        assert not ids[ends[-1] + 1 :].any()
        if len(ends) == 2 and ends[-1] == length - 1:
            continue  # a long pair, cut
        position = 1
        for first in range(0, len(ends), 2):
            places = [range(starts[i], ends[i] + 1) for i in (first, first + 1)]
            sides = [ids[list(p)[:-1]].astype(np.uint16).tobytes() for p in places]
            assert (sides[0], sides[1]) in pairs or (sides[1], sides[0]) in pairs
            turned += (sides[1], sides[0]) in pairs
            for kind, p in enumerate(places):
                assert set(types[list(p)]) == {kind}
                assert positions[list(p)].tolist() == list(range(position, position + len(p)))
            position += max(map(len, places))
        several += len(ends) > 2
    assert several > 5
    assert turned > 5


@pytest.mark.parametrize(
    ("sizes", "kept"), [((3, 4), (3, 4)), ((30, 4), (16, 4)), ((4, 30), (4, 16)), ((30, 40), (10, 10))]
)
def test_a_pair_too_long_for_a_row_is_cut_where_it_is_long(sizes: tuple[int, int], kept: tuple[int, int]) -> None:
    sides = tuple(np.arange(size) for size in sizes)
    assert tuple(map(len, _cut(sides, 20))) == kept  # type: ignore[arg-type]


def test_languages_are_drawn_by_the_exponent(packed: Packed) -> None:
    draw = Batches(packed, small(language_exponent=0.5))
    sizes = {language: len(ids) ** 0.5 for language, ids in packed.mono.items()}
    expected = {language: size / sum(sizes.values()) for language, size in sizes.items()}
    assert dict(zip(*draw._mono, strict=True)) == pytest.approx(expected)
