import math

import numpy as np
import pytest
import torch
from torch import nn

from metaner_core.engine.weights.steps import first_step, second_step_
from metaner_core.method.optim import decays, fresh, schedule
from tests.support.small import tiny_bert


def bert_adam(weights, gradients, lr, decay):
    """The published BertAdam, written down once more in numpy (float64)."""
    m, v = np.zeros_like(weights), np.zeros_like(weights)
    for gradient in gradients:
        norm = np.sqrt((gradient**2).sum())
        clipped = gradient / (norm + 1e-6) if norm + 1e-6 > 1 else gradient
        m = 0.9 * m + 0.1 * clipped
        v = 0.999 * v + 0.001 * clipped**2
        weights = weights - lr * (m / (np.sqrt(v) + 1e-6) + decay * weights)
    return weights


@pytest.mark.parametrize("size", [0.01, 30.0], ids=["unclipped", "clipped"])
@pytest.mark.parametrize(("name", "decay"), [("dense.weight", 0.01), ("dense.bias", 0.0), ("a.LayerNorm.weight", 0.0)])
def test_bertadam_follows_its_transcription_for_several_steps(name, decay, size):
    random = np.random.default_rng(0)
    start, gradients = random.normal(size=(4, 3)), random.normal(size=(5, 4, 3)) * size
    p = nn.Parameter(torch.tensor(start))
    optimizer = fresh("bertadam", {name: p}, 0.1)
    for gradient in gradients:
        p.grad = torch.tensor(gradient)
        optimizer.step()
    np.testing.assert_allclose(p.detach().numpy(), bert_adam(start, gradients, 0.1, decay), rtol=1e-12)


def test_bertadams_first_step_moves_a_weight_by_about_three_learning_rates():
    p = nn.Parameter(torch.zeros(3, dtype=torch.float64))
    optimizer = fresh("bertadam", {"bias": p}, 1e-3)
    p.grad = torch.tensor([0.5, -0.01, 0.2], dtype=torch.float64)
    optimizer.step()
    expected = torch.tensor([-1.0, 1.0, -1.0], dtype=torch.float64) * 1e-3 * 0.1 / math.sqrt(0.001)
    torch.testing.assert_close(p.detach(), expected, rtol=5e-3, atol=0)


def test_scaled_sgd_goes_along_the_gradient_each_parameter_as_far_as_the_rate_says():
    random = torch.Generator().manual_seed(0)
    shapes = {"dense.weight": (5, 3), "dense.bias": (5,), "classifier.weight": (2, 5)}
    start = {name: torch.randn(shape, generator=random, dtype=torch.float64) for name, shape in shapes.items()}
    parameters = {name: nn.Parameter(value.clone()) for name, value in start.items()}
    optimizer = fresh("scaled_sgd", parameters, 0.01)
    for size in (1e-3, 50.0):  # no history: the second step is as long as the first
        before = {name: p.detach().clone() for name, p in parameters.items()}
        for p in parameters.values():
            p.grad = torch.randn(p.shape, generator=random, dtype=torch.float64) * size
        optimizer.step()
        for name, p in parameters.items():
            moved = before[name] - p.detach()
            assert moved.square().mean().sqrt().item() == pytest.approx(0.01, rel=1e-4)
            torch.testing.assert_close(moved / moved.norm(), p.grad / p.grad.norm(), rtol=1e-10, atol=1e-12)


def test_scaled_sgd_moves_nothing_for_a_gradient_that_is_nothing_or_rounding_noise():
    p = nn.Parameter(torch.ones(3, dtype=torch.float64))
    optimizer = fresh("scaled_sgd", {"bias": p}, 0.1)
    optimizer.step()
    for g in (0.0, 1e-16):
        p.grad = torch.full_like(p, g)
        optimizer.step()
    torch.testing.assert_close(p.detach(), torch.ones_like(p), rtol=0, atol=1e-8)


def test_each_parameter_is_clipped_by_itself():
    small, large = (nn.Parameter(torch.zeros(1, dtype=torch.float64)) for _ in range(2))
    optimizer = fresh("bertadam", {"a.bias": small, "b.bias": large}, 1.0)
    for _ in range(2):  # m / sqrt(v) forgets a constant factor, so the size must change between the steps
        small.grad, large.grad = small.new_tensor([0.1]), large.new_tensor([100.0])
        optimizer.step()
    assert optimizer.state[small]["exp_avg"].item() == pytest.approx(0.1 * 0.19, rel=1e-5)
    assert optimizer.state[large]["exp_avg"].item() == pytest.approx(1.0 * 0.19, rel=1e-5)


def test_a_parameter_without_gradient_stays():
    p = nn.Parameter(torch.ones(2))
    fresh("bertadam", {"weight": p}, 1.0).step()
    assert p.tolist() == [1.0, 1.0]


def test_biases_and_layer_norms_do_not_decay():
    encoder = tiny_bert(layers=1)
    norms = {f"{n}.weight" for n, m in encoder.named_modules() if isinstance(m, nn.LayerNorm)}
    for name, p in encoder.named_parameters():
        assert decays(name) == (p.dim() > 1), name
        assert not (decays(name) and name in norms)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_adams_first_step_is_the_gradient_over_its_size(dtype):
    start, g = torch.tensor([1.0, -2.0, 3.0, 4.0], dtype=dtype), torch.tensor([5.0, -1e-3, 1e-8, 0.0], dtype=dtype)
    p = nn.Parameter(start.clone())
    p.grad = g.clone()
    fresh("adam", {"weight": p}, 0.1).step()
    torch.testing.assert_close(p.detach(), start - 0.1 * g / (g.abs() + 1e-8))


@pytest.mark.parametrize("kind", ["adam", "bertadam", "sgd"])
@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
@pytest.mark.parametrize("rows", [slice(None), slice(2, 7)], ids=["a matrix", "some rows"])
@pytest.mark.parametrize("width", [1, 37], ids=["contiguous", "strided"])
def test_two_steps_are_the_optimisers_two_steps(kind, dtype, rtol, rows, width):
    random = torch.Generator().manual_seed(0)
    # Small gradients (no clipping), some of them nothing or as small as Adam's epsilon.
    start, *gradients = torch.randn(3, 9, 64 * width, generator=random, dtype=torch.float64).to(dtype)
    gradients = [g * 1e-3 * torch.tensor([1.0, 1e-5, 1e-9, 0.0], dtype=dtype).repeat(16 * width) for g in gradients]
    start = start[rows, ::width]
    first, second = (g[rows, ::width].contiguous() for g in gradients)
    p = nn.Parameter(start.clone())
    optimizer = fresh(kind, {"weight": p}, 1e-2)
    found, kept = torch.full((2, 1, *p.shape), torch.nan, dtype=dtype)
    for number, g in enumerate((first, second)):
        p.grad = g.clone()
        optimizer.step()
        if number == 0:
            assert first_step(kind, start, g[None], 1e-2, decays=True, out=found, kept=kept) is found
            torch.testing.assert_close(kept[0], g, rtol=0, atol=0)
        else:
            second_step_(kind, found, g[None], 1e-2, kept, decays=True)
        torch.testing.assert_close(found[0], p.detach(), rtol=rtol, atol=rtol)
        assert not torch.equal(found[0], start)


def test_a_fresh_optimiser_has_no_history():
    p = nn.Parameter(torch.zeros(1))
    for kind in ("adam", "bertadam", "scaled_sgd"):
        for _ in range(2):
            assert not fresh(kind, {"weight": p}, 0.1).state


def test_the_schedule_climbs_for_a_tenth_and_falls_to_the_end():
    factors = [schedule(update, updates=20, warmup=0.1) for update in range(20)]
    assert factors[:3] == [0.5, 1.0, 1.0]
    assert factors[2:] == pytest.approx([(18 - i) / 18 for i in range(18)])


@pytest.mark.parametrize("updates", [1, 2, 7, 30, 70, 120, 700, 1000, 3000])
@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.5, 1.0])
def test_the_schedule_is_never_zero_nor_above_one_and_peaks(updates, warmup):
    factors = [schedule(update, updates=updates, warmup=warmup) for update in range(updates)]
    assert min(factors) > 0
    assert max(factors) == 1.0


@pytest.mark.parametrize(("updates", "warmup", "warm"), [(30, 0.1, 3), (3000, 0.1, 300), (100, 0.07, 7), (25, 0.1, 3)])
def test_warm_up_takes_its_share_of_the_updates(updates, warmup, warm):
    factors = [schedule(update, updates=updates, warmup=warmup) for update in range(updates)]
    assert factors[:warm] == pytest.approx([(i + 1) / warm for i in range(warm)])
