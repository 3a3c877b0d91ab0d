"""What several workers that train one model do together: a step with all their gradients, a score of all they tagged.

They share torch.distributed and call these in step; one process alone is the plain case.
"""

from collections.abc import Iterator, Sequence

import torch

from metaner_core import workers
from metaner_core.data.scoring import Counts, Scores, count, scores
from metaner_core.method.adapt import Engine
from metaner_core.model.encoding import Encoded
from metaner_core.model.tagger import Prediction, Tagger

Gradient = dict[str, torch.Tensor]  # by parameter name
Gradients = Iterator[tuple[Gradient, torch.Tensor | float]]  # with the losses that they are of


def step_together(tagger: Tagger, own: Gradients, optimizer: torch.optim.Optimizer, rate: float) -> float:
    """One step on θ with the sum of all workers' gradients. own: this worker's. Returns the sum of the losses."""
    trained = tagger.trained()
    like = next(iter(trained.values()))
    # Added up in float64, so that the order leaves no trace; all parameters' side by side.
    total = torch.zeros(sum(p.numel() for p in trained.values()), dtype=torch.float64, device=like.device)
    loss = torch.zeros((), dtype=torch.float64, device=like.device)
    for gradient, value in own:
        loss += value
        total += torch.cat(
            [gradient[name].flatten() if name in gradient else p.new_zeros(p.numel()) for name, p in trained.items()]
        )
    workers.add_up([total, loss])
    parts = total.to(like.dtype).split([p.numel() for p in trained.values()])
    for p, g in zip(trained.values(), parts, strict=True):
        p.grad = g.view_as(p)
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.step()
    tagger.zero_grad(set_to_none=True)
    return loss.item()


def score_together(engine: Engine, sentences: Sequence[Encoded], predictions: Sequence[Prediction]) -> Scores:
    """Phrase-level scores of all workers' sentences; given are this worker's, with their labels."""
    counts = count([s.labels or () for s in sentences], [p.labels for p in predictions])
    types = engine.settings.types
    kinds = (counts.correct, counts.predicted, counts.gold)
    table = torch.tensor([[kind.get(t, 0) for t in types] for kind in kinds], device=engine.device)
    workers.add_up([table])
    correct, predicted, gold = (dict(zip(types, row, strict=True)) for row in table.tolist())
    return scores(Counts(correct=correct, predicted=predicted, gold=gold))
