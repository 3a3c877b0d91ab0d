"""A student that begins as part of its teacher: embeddings for pieces of its own, and some of the layers."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, models
from torch import nn

from metaner_core.encoders.encoder import layers
from metaner_core.pretrain.settings import PretrainSettings
from metaner_core.pretrain.teacher.teacher import Teacher
from metaner_core.pretrain.vocabulary import BEGINS, CONTINUES, special_ids
from metaner_core.text.scripts import without_spaces

NORM = "LayerNorm"


def require_fit(teacher: Teacher, settings: PretrainSettings) -> None:
    """Raises ValueError, with every reason, when what `teacher_start` asks for cannot be taken from this teacher."""
    config, problems = teacher.encoder.config, []
    if settings.teacher_start != "nothing" and settings.width > teacher.width:
        problems.append(f"width is {settings.width}, more than its {teacher.width}: set teacher_start=nothing")
    if settings.teacher_start == "layers":
        shape = {"width": "hidden_size", "heads": "num_attention_heads", "inner_width": "intermediate_size"}
        for field, theirs in shape.items():
            if (own := getattr(settings, field)) != (its := getattr(config, theirs)):
                problems.append(f"{field} is {own}, its layers have {its}: set that, or teacher_start=embeddings")
        if problem := _bad_layers(settings, len(layers(teacher.encoder))):
            problems.append(problem)
    if problems:
        raise ValueError(f"a student of {settings.teacher!r} cannot begin so:\n  " + "\n  ".join(problems))


def _bad_layers(settings: PretrainSettings, many: int) -> str:
    if settings.layers > many:
        return f"layers is {settings.layers}, it has {many}: set layers lower, or teacher_start=embeddings"
    if max(chosen(settings, many)) >= many:
        return f"teacher_layers is {settings.teacher_layers!r}, it has {many}: name others"
    return ""


def chosen(settings: PretrainSettings, many: int) -> list[int]:
    """Which of the teacher's layers the student begins with, by number from 0."""
    if settings.teacher_layers:
        return [int(number) - 1 for number in settings.teacher_layers.split(",")]
    return np.linspace(0, many - 1, settings.layers).round().astype(int).tolist()


@torch.no_grad()
def start(student: Any, tokenizer: Tokenizer, teacher: Teacher, settings: PretrainSettings) -> None:
    """Set a BertModel's weights in place, where `require_fit` finds nothing wrong with `teacher_start`.

    Where it is narrower, its vectors are the teacher's along their main axes.
    """
    source: Any = teacher.encoder.get_submodule("embeddings")
    own = student.embeddings
    words = piece_vectors(tokenizer, teacher)
    axes = main_axes(words, settings.width)
    own.word_embeddings.weight.copy_(words @ axes)
    kept = _positions(source)[: settings.positions]
    own.position_embeddings.weight[: len(kept)] = kept @ axes
    types = source.token_type_embeddings.weight[: len(own.token_type_embeddings.weight)]
    own.token_type_embeddings.weight[: len(types)] = types @ axes
    if settings.width == teacher.width:
        own.LayerNorm.load_state_dict(source.LayerNorm.state_dict())
    if settings.teacher_start == "layers":
        theirs = layers(teacher.encoder)
        for layer, number in zip(layers(student), chosen(settings, len(theirs)), strict=True):
            layer.load_state_dict(theirs[number].state_dict())
        _make_standard(layers(student)[-1].get_submodule("output.LayerNorm"), teacher)


def _make_standard(norm: Any, teacher: Teacher) -> None:
    if teacher.mean is not None and teacher.spread is not None:
        norm.weight.div_(teacher.spread)
        norm.bias.sub_(teacher.mean).div_(teacher.spread)


def _positions(embeddings: Any) -> torch.Tensor:
    """From the first position on that a token can have (RoBERTa keeps some for itself)."""
    padding = getattr(embeddings, "padding_idx", None)
    return embeddings.position_embeddings.weight[0 if padding is None else padding + 1 :]


def main_axes(vectors: torch.Tensor, width: int) -> torch.Tensor:
    """[d, width]: the identity for width d, else the right singular vectors with the largest values."""
    if width == vectors.shape[1]:
        return torch.eye(width, device=vectors.device)
    return torch.linalg.svd(vectors, full_matrices=False).Vh[:width].T


def piece_vectors(tokenizer: Tokenizer, teacher: Teacher) -> torch.Tensor:
    """[V, d]: of each of the student's pieces the mean of the teacher's embeddings of its text."""
    table: Any = teacher.encoder.get_submodule("embeddings.word_embeddings")
    numbers = teacher_pieces(tokenizer, teacher)
    flat = torch.tensor([number for each in numbers for number in each], device=table.weight.device)
    starts = torch.tensor(np.cumsum([0, *map(len, numbers)])[:-1], device=table.weight.device)
    return nn.functional.embedding_bag(flat, table.weight, starts, mode="mean")


def teacher_pieces(tokenizer: Tokenizer, teacher: Teacher) -> list[Sequence[int]]:
    """For each of the student's pieces the teacher's of the same text, at least one."""
    theirs = teacher.tokenizer
    roles = {number: getattr(theirs, f"{name}_token_id") for name, number in special_ids(tokenizer).items()}
    pieces = theirs.get_vocab()
    alike = isinstance(tokenizer.model, models.Unigram)  # the same signs for what comes before a piece
    found: list[Sequence[int]] = []
    for piece, number in sorted(tokenizer.get_vocab().items(), key=lambda each: each[1]):
        if number in roles:
            found.append([roles[number] if roles[number] is not None else theirs.unk_token_id])
        elif alike and piece in pieces:
            found.append([pieces[piece]])
        else:
            found.append(_pieces_of(piece, pieces, theirs))
    return found


def _pieces_of(piece: str, pieces: dict[str, int], theirs: Any) -> Sequence[int]:
    """One piece that is written so, if there is one: where no space comes before it, without the sign of one."""
    text = piece.removeprefix(CONTINUES)
    inside = (CONTINUES + text, text)
    outside = (BEGINS + text, text)
    touching = not text[:1].isalnum() or without_spaces(text)
    for one in inside if text != piece else outside[::-1] if touching else outside:
        if one in pieces:
            return [pieces[one]]
    cut = theirs(text, add_special_tokens=False)["input_ids"]
    return [number for number in cut if number != pieces.get(BEGINS)] or cut or [theirs.unk_token_id]
