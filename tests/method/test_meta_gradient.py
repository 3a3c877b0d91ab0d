import copy
import dataclasses

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from metaner_core.method import optim
from metaner_core.method.meta_train import MetaTrainer
from metaner_core.method.tasks import Task, Tasks, masked
from metaner_core.settings import Settings
from tests.support.small import bert_tokenizer, tiny_engine

SUPPORT = np.array([[(i + 3) % 10, (i + 8) % 10] for i in range(10)])
SETTINGS = Settings(
    window=8,
    window_context=3,
    frozen_layers=1,
    dropout=0.0,
    alpha=0.01,
    beta=0.02,
    tasks_per_update=4,
    meta_updates=10,
    warmup=0.2,
    mask_ratio=0.5,
)
TASKS = [Task(epoch, i, tuple(map(int, SUPPORT[i]))) for epoch, i in ((0, 0), (1, 2), (3, 8))]


def trainer_of(settings=SETTINGS):
    return MetaTrainer(tiny_engine(settings), SUPPORT, [])


def sentence_loss(model, sentence, ids, settings, label_set, tokenizer):
    """mean + λ max over one sentence's words, a window at a time."""
    tokens = []
    for window in sentence.windows:
        row = [tokenizer.cls_token_id, *ids[window.start : window.stop], tokenizer.sep_token_id]
        hidden = model.encoder(input_ids=torch.tensor([row])).last_hidden_state[0]
        for word, i in enumerate(sentence.first):
            if window.fresh <= i < window.stop:
                logits = model.classifier(hidden[i - window.start + 1])
                tokens.append(F.cross_entropy(logits, torch.tensor(label_set.names.index(sentence.labels[word]))))
    losses = torch.stack(tokens)
    return losses.mean() + settings.max_loss_weight * losses.max()


def by_hand(engine, task, alpha):
    """The query's gradient at a deep copy moved by written-out Adam steps on its support set; and its loss."""
    model, settings, tokenizer = copy.deepcopy(engine.tagger), engine.settings, bert_tokenizer()
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}

    def gradient(examples):
        total = torch.zeros((), dtype=torch.float64)
        for i in examples:
            ids = masked(engine.source[i], i, task.epoch, tokenizer.mask_token_id, settings)
            total = total + sentence_loss(model, engine.source[i], ids, settings, engine.label_set, tokenizer)
        return dict(zip(trained, torch.autograd.grad(total, list(trained.values())), strict=True)), total.item()

    first = {name: torch.zeros_like(p) for name, p in trained.items()}
    second = {name: torch.zeros_like(p) for name, p in trained.items()}
    for step in range(1, settings.inner_steps + 1):
        gradients, _ = gradient(task.support)
        for name, g in gradients.items():
            first[name] = 0.9 * first[name] + 0.1 * g
            second[name] = 0.999 * second[name] + 0.001 * g * g
            size = (second[name] / (1 - 0.999**step)).sqrt() + 1e-8
            trained[name].data -= alpha * first[name] / (1 - 0.9**step) / size
    return gradient((task.query,))


def assert_close(found, expected):
    assert found.keys() == expected.keys()
    for name, value in found.items():
        torch.testing.assert_close(value, expected[name], rtol=1e-5, atol=1e-8, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("task", TASKS, ids=str)
@pytest.mark.parametrize("inner_steps", [0, 1, 2])
def test_a_tasks_gradient_is_that_of_a_copy_updated_by_hand(task, inner_steps):
    trainer = trainer_of(dataclasses.replace(SETTINGS, inner_steps=inner_steps))
    gradient, value = trainer.task_gradient(task, 0.01)
    expected, expected_value = by_hand(trainer.engine, task, 0.01)
    assert_close(gradient, expected)
    assert value == pytest.approx(expected_value, rel=1e-6)


def test_the_inner_steps_matter_here():
    alone, moved = (trainer_of(dataclasses.replace(SETTINGS, inner_steps=n)) for n in (0, 2))
    a, b = (trainer.task_gradient(TASKS[0], 0.01)[0] for trainer in (alone, moved))
    assert max((a[name] - b[name]).abs().max() for name in a) > 0.1


def test_a_task_leaves_theta_as_it_was_and_no_trace_for_the_next():
    trainer = trainer_of()
    before = copy.deepcopy(trainer.engine.tagger.state_dict())
    first = trainer.task_gradient(TASKS[0], 0.01)[0]
    trainer.task_gradient(TASKS[1], 0.01)
    again = trainer.task_gradient(TASKS[0], 0.01)[0]
    assert all(torch.equal(first[name], again[name]) for name in first)
    after = trainer.engine.tagger.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert all(p.grad is None for p in trainer.engine.tagger.parameters())


def test_dropout_is_the_tasks_own_whatever_was_drawn_before():
    trainer = trainer_of(dataclasses.replace(SETTINGS, dropout=0.3))
    tasks = (TASKS[0], dataclasses.replace(TASKS[0], epoch=1))
    first, other = (trainer.task_gradient(task, 0.01)[1] for task in tasks)
    torch.rand(17)
    assert trainer.task_gradient(TASKS[0], 0.01)[1] == first != other


def meta_steps_by_hand(settings, updates, *, alpha=lambda factor: SETTINGS.alpha):
    """θ after some meta-updates: torch's own Adam on a copy, the tasks' gradients (tested above) added up."""
    trainer = trainer_of(settings)
    trained = trainer.engine.tagger.trained()
    optimizer = torch.optim.Adam(trained.values(), lr=1.0, fused=False, foreach=False)
    means = []
    for update in range(updates):
        factor = min((update + 1) / 2, 1.0) if update < 2 else (10 - update) / 8
        found = [trainer.task_gradient(t, alpha(factor)) for t in Tasks(SUPPORT, settings).of_update(update)]
        for name, p in trained.items():
            p.grad = sum(gradient[name] for gradient, _ in found)
        optimizer.param_groups[0]["lr"] = settings.beta * factor
        optimizer.step()
        means.append(sum(value for _, value in found) / len(found))
    return trained, means


def run(settings, updates):
    trainer = trainer_of(settings)
    trained = trainer.engine.tagger.trained()
    optimizer = optim.fresh("adam", trained, 123.0)
    return trained, [trainer.meta_update(update, optimizer) for update in range(updates)]


def test_meta_updates_are_adam_steps_with_the_sum_over_the_tasks():
    found, losses = run(SETTINGS, 4)
    expected, expected_losses = meta_steps_by_hand(SETTINGS, 4)
    assert_close({k: v.detach() for k, v in found.items()}, {k: v.detach() for k, v in expected.items()})
    assert losses == pytest.approx(expected_losses, rel=1e-6)


def test_the_inner_rate_follows_the_schedule_if_asked_to():
    settings = dataclasses.replace(SETTINGS, alpha_follows_schedule=True)
    _, losses = run(settings, 3)
    _, expected = meta_steps_by_hand(settings, 3, alpha=lambda factor: SETTINGS.alpha * factor)
    _, constant = meta_steps_by_hand(SETTINGS, 3)
    assert losses == pytest.approx(expected, rel=1e-6)
    assert losses != pytest.approx(constant, rel=1e-3)


def test_without_inner_steps_a_meta_update_is_fine_tuning_on_a_batch_of_sentences():
    settings = dataclasses.replace(SETTINGS, inner_steps=0, max_loss_weight=0.0, mask_ratio=0.0)
    found, _ = run(settings, 1)
    engine, tokenizer = tiny_engine(settings), bert_tokenizer()
    queries = [engine.source[task.query] for task in Tasks(SUPPORT, settings).of_update(0)]
    trained = engine.tagger.trained()
    sum(sentence_loss(engine.tagger, s, s.ids, settings, engine.label_set, tokenizer) for s in queries).backward()
    torch.optim.Adam(trained.values(), lr=settings.beta * 0.5, fused=False, foreach=False).step()
    assert_close({k: v.detach() for k, v in found.items()}, {k: v.detach() for k, v in trained.items()})
