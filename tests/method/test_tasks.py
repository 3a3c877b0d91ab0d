from collections import Counter

import numpy as np
import pytest

from metaner_core.method.tasks import Task, Tasks, dropout_seed, masked
from metaner_core.settings import Settings
from tests.support.small import bert_tokenizer, encoded, family

SUPPORT = np.array([[(i + 1) % 13, (i + 5) % 13] for i in range(13)])
MASK = bert_tokenizer().mask_token_id


def stream(settings, updates, tasks=None):
    tasks = tasks or Tasks(SUPPORT, settings)
    return [task for update in updates for task in tasks.of_update(update)]


@pytest.mark.parametrize("per_update", [1, 4, 13, 40])
def test_every_epoch_visits_every_sentence_once(per_update):
    settings = Settings(tasks_per_update=per_update)
    tasks = stream(settings, range(13 * 3))[: 13 * 3]
    visits = Counter((task.epoch, task.query) for task in tasks)
    assert visits == Counter((epoch, query) for epoch in range(3) for query in range(13))


def test_a_tasks_support_is_its_querys_neighbours_and_never_the_query():
    for task in stream(Settings(tasks_per_update=5), range(10)):
        assert task.support == tuple(SUPPORT[task.query])
        assert task.query not in task.support


def test_a_meta_update_has_its_number_of_tasks_across_the_end_of_an_epoch():
    tasks = Tasks(SUPPORT, Settings(tasks_per_update=5))
    assert [task.epoch for task in tasks.of_update(2)] == [0, 0, 0, 1, 1]


def test_tasks_do_not_depend_on_who_asks_or_when():
    settings = Settings(tasks_per_update=5)
    forwards = {u: Tasks(SUPPORT, settings).of_update(u) for u in range(8)}
    one = Tasks(SUPPORT, settings)
    assert {u: one.of_update(u) for u in (7, 0, 3, 3, 6, 1, 2, 5, 4)} == forwards


def test_order_changes_with_epoch_and_seed():
    orders = [
        tuple(task.query for task in Tasks(SUPPORT, Settings(seed=seed, tasks_per_update=13)).of_update(epoch))
        for seed in range(3)
        for epoch in range(3)
    ]
    assert len(set(orders)) == 9


SETTINGS = Settings()
SOURCE = encoded(SETTINGS)


def inside(sentence):
    return [sentence.labels[word] != "O" for word in sentence.word]


@pytest.mark.parametrize("ratio", [0.2, 1.0])
def test_only_entities_are_masked_and_nothing_else_changes(ratio):
    for example, sentence in enumerate(SOURCE):
        for epoch in range(5):
            ids = masked(sentence, example, epoch, MASK, Settings(mask_ratio=ratio))
            assert len(ids) == len(sentence.ids)
            for new, old, entity in zip(ids, sentence.ids, inside(sentence), strict=True):
                assert new == old or (entity and new == MASK)


def test_at_ratio_one_every_subword_of_an_entity_is_masked():
    for sentence in SOURCE:
        ids = masked(sentence, 0, 0, MASK, Settings(mask_ratio=1.0))
        assert [i == MASK for i in ids] == inside(sentence)


def test_a_subword_of_several_words_is_masked_if_the_first_is_in_an_entity(tmp_path):
    parts = family("chinese", tmp_path)
    mask = parts["tokenizer"].mask_token_id
    sentences = encoded(SETTINGS, parts["tokenizer"], parts["sentences"])
    for sentence in sentences:
        ids = masked(sentence, 0, 0, mask, Settings(mask_ratio=1.0))
        for i in set(sentence.first):
            assert (ids[i] == mask) == (sentence.labels[sentence.first.index(i)] != "O")
    assert any(len(set(s.first)) < len(s.first) for s in sentences)


def test_at_ratio_zero_nothing_is_masked():
    assert all(masked(s, 0, 0, MASK, Settings(mask_ratio=0.0)) == s.ids for s in SOURCE)


def test_about_a_fifth_is_masked_at_each_place_of_an_entity():
    sentence = SOURCE[7]
    epochs = 2000
    hits = np.array([[i == MASK for i in masked(sentence, 7, epoch, MASK, SETTINGS)] for epoch in range(epochs)])
    rates = hits.mean(0)[inside(sentence)]
    assert len(rates) > 6
    np.testing.assert_allclose(rates, 0.2, atol=5 * np.sqrt(0.2 * 0.8 / epochs))
    assert hits.all(axis=0).sum() == 0
    together = (hits[:, 0] & hits[:, 1]).mean()
    assert together == pytest.approx(0.04, abs=0.025)  # subwords are drawn one by one, not whole words


def test_masks_change_with_epoch_example_and_seed_but_not_with_time():
    def mask(*, epoch=0, example=0, seed=0):
        settings = Settings(seed=seed, mask_ratio=0.5)
        return [masked(s, example, epoch, MASK, settings) for s in SOURCE]

    assert mask() == mask()
    assert all(mask() != other for other in (mask(epoch=1), mask(example=1), mask(seed=1)))


def test_dropout_seeds_differ_by_epoch_query_and_seed_only():
    seeds = {
        dropout_seed(Task(epoch, query, ()), Settings(seed=seed))
        for epoch in range(3)
        for query in range(3)
        for seed in range(3)
    }
    assert len(seeds) == 27
    assert dropout_seed(Task(1, 2, (3,)), SETTINGS) == dropout_seed(Task(1, 2, (4,)), SETTINGS)
