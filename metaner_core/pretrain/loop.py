"""The pre-training loop: masked words, or a teacher's vectors, data parallel, resumable, without Ray.

Every worker draws the whole batch of a step and computes its own rows; gradients are added up and divided by the
number of targets in the whole batch. With dropout 0 the number of workers leaves no trace but rounding.
"""

import functools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import BertForMaskedLM, PreTrainedTokenizerBase

from metaner_core import workers
from metaner_core.method import optim
from metaner_core.method.checkpoint import Checkpoints
from metaner_core.model.sentence_vectors import SentenceVectors
from metaner_core.pretrain.masked import word_vectors
from metaner_core.pretrain.masked.batches import Batch, Batches
from metaner_core.pretrain.model import known_model, loss_sum, new_model
from metaner_core.pretrain.packed import Packed
from metaner_core.pretrain.score import held_out, retrieval
from metaner_core.pretrain.settings import PretrainSettings
from metaner_core.pretrain.state import State
from metaner_core.pretrain.teacher.aims import lesson_loss
from metaner_core.pretrain.teacher.lessons import Lesson, Lessons, standard
from metaner_core.pretrain.teacher.start import require_fit
from metaner_core.pretrain.teacher.start import start as start_from_teacher
from metaner_core.pretrain.teacher.teacher import Teacher, load_teacher, token_vectors
from metaner_core.pretrain.vocabulary import fast

KIND = 3  # a stream of random numbers beside those of masked words and lessons


@dataclass
class Pretrainer:
    """Pre-trains a new encoder on packed text, by masked words or from a teacher. on_step: called after every step, on
    every worker."""

    packed: Packed
    settings: PretrainSettings
    device: torch.device | str = "cpu"
    on_step: Callable[[State], None] = lambda state: None

    def run(self, checkpoints: Checkpoints) -> State:
        """Train to the last step, going on from the newest checkpoint."""
        settings = self.settings
        folder = checkpoints.load()
        state = self.start(fresh=folder is None)
        if folder is not None:
            state.load(folder)
        for batch in self._drawn(state.step):
            self.step(state, batch)
            self.on_step(state)
            if state.step % settings.save_every == 0 or state.step == settings.steps:
                state.close_interval(self._retrieval(state))
                checkpoints.save(state.history[-1], state.save)
        return state

    def start(self, *, fresh: bool = True) -> State:
        """The state before the first step. fresh: from `start_from`, the teacher or word vectors, which a checkpoint
        replaces. Raises ValueError when a student cannot begin with this teacher's weights."""
        settings, tokenizer = self.settings, self.packed.tokenizer
        known = fresh and bool(settings.start_from)
        model = known_model(settings, tokenizer) if known else new_model(settings, tokenizer.get_vocab_size())
        model.to(self.device)  # type: ignore[arg-type]
        if not settings.masks_words:
            model.cls.requires_grad_(False)
            model.bert.embeddings.word_embeddings.requires_grad_(True)  # which the head's last matrix is too
        if fresh and not known:
            self._set_out(model)
        for teacher in (self.teacher, self.sentence_teacher):
            if teacher is not None and settings.bf16:
                teacher.encoder.bfloat16()  # now that the student has what it takes from it
        projection = self._projection()
        zero = torch.zeros((), dtype=torch.float64, device=self.device)
        state = State(model, _optimizer([model, projection], settings), zero, projection=projection)
        _as_on_the_first([p for _, p in state.named()])
        return state

    def _set_out(self, model: BertForMaskedLM) -> None:
        """On the first worker only, but what cannot be is found by all: one alone would leave the others waiting."""
        teacher = self.teacher if self.settings.teacher_start != "nothing" else None
        if teacher is not None:
            require_fit(teacher, self.settings)
        if workers.rank() != 0:
            return
        if teacher is not None:
            start_from_teacher(model.bert, self.packed.tokenizer, teacher, self.settings)
        else:
            word_vectors.start(model, self.packed, self.settings)

    def _projection(self) -> nn.Module:
        if self.teacher is None or self.teacher.width == self.settings.width:
            return nn.Identity()
        torch.manual_seed(self.settings.seed)
        return nn.Linear(self.settings.width, self.teacher.width).to(self.device)

    @functools.cached_property
    def teacher(self) -> Teacher | None:
        return self._loaded(self.settings.teacher, self.settings.teacher_prefix)

    @functools.cached_property
    def sentence_teacher(self) -> Teacher | None:
        """Another than the teacher. Raises ValueError for one of another width."""
        source = self.settings.sentence_teacher
        found = self._loaded(source, self.settings.sentence_prefix)
        if found is not None and self.teacher is not None and found.width != self.teacher.width:
            raise ValueError(
                f"sentence_teacher {source!r} has vectors of {found.width}; they must be as wide as the teacher's, "
                f"{self.teacher.width}"
            )
        return found

    def _loaded(self, source: str, prefix: str) -> Teacher | None:
        if not source:
            return None
        found = load_teacher(source, prefix, self.device)
        return standard(found, self.packed, self.settings) if self.settings.teacher_standard else found

    @functools.cached_property
    def _tokenizer(self) -> PreTrainedTokenizerBase:
        return fast(self.packed.tokenizer)

    def _retrieval(self, state: State) -> dict[str, float]:
        state.model.eval()
        pooling = "cls" if self.settings.sentence_teacher else self.settings.teacher_pooling
        vectors = SentenceVectors(state.model.bert, self._tokenizer, pooling=pooling)
        found = retrieval(vectors, held_out(self.packed))
        state.model.train()
        return found

    def _drawn(self, first: int) -> Iterator[Batch | Lesson]:
        """What to learn from a step on, the next drawn while the model works on this one."""
        last = self.settings.steps
        if first >= last:
            return
        draw = drawing(self.packed, self.settings, self.teacher, self.sentence_teacher)
        with ThreadPoolExecutor(1) as thread:
            waiting = thread.submit(draw, first)
            for following in range(first + 1, last + 1):
                batch = waiting.result()
                if following < last:
                    waiting = thread.submit(draw, following)
                yield batch

    def step(self, state: State, batch: Batch | Lesson) -> None:
        """One AdamW step on the mean loss over the batch's targets, or a lesson's loss."""
        settings, device = self.settings, torch.device(self.device)
        torch.manual_seed(_dropout_seed(settings.seed, state.step))
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=settings.bf16):
            loss = self._loss(state, batch)
        loss.backward()
        loss = loss.detach().double()
        parameters = [p for _, p in state.named() if p.grad is not None]
        _add_up(parameters, loss)
        torch.nn.utils.clip_grad_norm_(parameters, settings.clip)
        factor = optim.schedule(state.step, updates=settings.steps, warmup=settings.warmup)
        for group in state.optimizer.param_groups:
            group["lr"] = settings.learning_rate * factor
        state.optimizer.step()
        state.optimizer.zero_grad(set_to_none=True)
        state.loss += loss
        state.losses, state.step, state.tokens = state.losses + 1, state.step + 1, state.tokens + batch.tokens

    def _loss(self, state: State, batch: Batch | Lesson) -> torch.Tensor:
        """This worker's part; the parts add up to the loss."""
        if isinstance(batch, Batch):
            return loss_sum(state.model, batch.shared(self.device)) / max(int(batch.targets.sum()), 1)
        assert self.teacher is not None
        read = functools.partial(token_vectors, state.model.bert, self._tokenizer)
        own = lambda ids: state.projection(read(ids))  # noqa: E731
        return lesson_loss(own, self.teacher, batch, self.settings, self.sentence_teacher)


def drawing(
    packed: Packed, settings: PretrainSettings, teacher: Teacher | None, of_sentences: Teacher | None = None
) -> Callable[[int], Batch | Lesson]:
    """What each step learns, whoever asks."""
    batches = Batches(packed, settings)
    if teacher is None:
        return batches
    lessons = Lessons(packed, settings, teacher, of_sentences)

    def draw(step: int) -> Batch | Lesson:
        taught = np.random.default_rng([settings.seed, step, KIND]).random() < settings.teacher_share
        return lessons(step) if taught else batches(step)

    return draw


def _dropout_seed(seed: int, step: int) -> int:
    return int(np.random.SeedSequence([seed, step, workers.rank()]).generate_state(1)[0])


@torch.no_grad()
def _as_on_the_first(parameters: Sequence[torch.nn.Parameter]) -> None:
    """Give every worker rank 0's parameters."""
    for p in parameters:
        p.mul_(workers.rank() == 0)
    workers.add_up([p.detach() for p in parameters])


def _optimizer(modules: Sequence[nn.Module], settings: PretrainSettings) -> torch.optim.Optimizer:
    named = [(name, p) for module in modules for name, p in module.named_parameters() if p.requires_grad]
    groups = [
        {"params": [p for name, p in named if optim.decays(name)], "weight_decay": settings.weight_decay},
        {"params": [p for name, p in named if not optim.decays(name)], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=(0.9, settings.beta2), fused=True)


def _add_up(parameters: list[torch.nn.Parameter], loss: torch.Tensor) -> None:
    """Sum gradients and loss over the workers, all gradients in one message."""
    if workers.count() == 1:
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([g.reshape(-1) for g in gradients])
    workers.add_up([flat, loss])
    for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))


def checkpoint_line(metrics: Mapping[str, Any]) -> str:
    """One line for a checkpoint's metrics."""
    by_language = ", ".join(f"{language} {score:.1f}" for language, score in metrics["retrieval_by_language"].items())
    return "step {step}: {tokens:,} tokens, loss {loss:.3f}, translation retrieval {retrieval:.1f}".format(
        **metrics
    ) + (f" ({by_language})" if by_language else "")


def speed_lines(settings: PretrainSettings, tell: Callable[[str], Any], *, every: float) -> Callable[[State], None]:
    """An on_step that tells every so many seconds how far the run is, its loss and its tokens a second."""
    told, tokens = time.monotonic(), -1

    def on_step(state: State) -> None:
        nonlocal told, tokens
        now = time.monotonic()
        if tokens < 0:  # the first step warms up
            told, tokens = now, state.tokens
        elif now - told >= every:
            speed = (state.tokens - tokens) / (now - told)
            left = (settings.steps - state.step) * state.tokens / state.step / speed / 60
            loss = state.mean_loss()
            tell(f"step {state.step}/{settings.steps}: loss {loss:.3f}, {speed:,.0f} tokens/s, {left:.0f} min left")
            told, tokens = now, state.tokens

    return on_step
