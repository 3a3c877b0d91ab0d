"""Lessons: sentences in the pieces of student and teacher. A lesson is a function of seed and step alone."""

import copy
import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from tokenizers import Encoding, Tokenizer

from metaner_core import workers
from metaner_core.pretrain.packed import Lines, Packed
from metaner_core.pretrain.settings import PretrainSettings
from metaner_core.pretrain.teacher.offsets import shared, trimmed
from metaner_core.pretrain.teacher.teacher import Teacher
from metaner_core.pretrain.vocabulary import shares

SAMPLE = 500  # sentences that the mean and variance of the teacher's vectors are of
STREAM = 2  # of random numbers: masked words have one of their own


@dataclass(frozen=True)
class Sentence:
    """A sentence as both read it. own, teachers: ids without [CLS] and [SEP]; the teacher's begin with its prefix.

    met, by: [m] places among their tokens, [CLS] being 0, of those that share characters; `met` ascends. aim: ids for
    the teacher of sentences, if there is one and it reads this sentence.
    """

    own: tuple[int, ...]
    teachers: tuple[int, ...]
    met: np.ndarray
    by: np.ndarray
    aim: tuple[int, ...] = ()


@dataclass(frozen=True)
class Lesson:
    """A step's rows: of a sentence, or of an English one and its translation.

    whole: so many rows, the first ones, teach the vectors of their sentences too.
    """

    rows: Sequence[Sequence[Sentence]]
    whole: int

    @property
    def sentences(self) -> int:
        """Whose vectors are learnt."""
        return sum(map(len, self.rows[: self.whole]))

    @property
    def tokens(self) -> int:
        """That the student reads, [CLS] and [SEP] included."""
        return sum(len(sentence.own) + 2 for row in self.rows for sentence in row)

    @property
    def words(self) -> int:
        """The student's tokens that have a teacher's."""
        return sum(len(np.unique(sentence.met)) for row in self.rows for sentence in row)

    def shared(self) -> Sequence[Sequence[Sentence]]:
        """This worker's rows."""
        return self.rows[workers.rank() :: workers.count()]

    def shared_whole(self) -> Sequence[Sequence[Sentence]]:
        """The first of `shared`, whose sentences' vectors are learnt."""
        return self.rows[workers.rank() : self.whole : workers.count()]


class Lessons:
    """Draws the lesson of each step: lines of text, or translations, at random among a language's.

    A sentence is cut where the student's pieces come to `length`, for both. Raises ValueError for packed text that did
    not keep its text.
    """

    def __init__(
        self, packed: Packed, settings: PretrainSettings, teacher: Teacher, of_sentences: Teacher | None = None
    ) -> None:
        if not packed.text:
            raise ValueError("a teacher reads text as it is written: pack it again with keep_text=true")
        self._packed, self._settings, self._prefix = packed, settings, teacher.prefix
        self._own = packed.tokenizer
        self._teachers = _bare(teacher.tokenizer.backend_tokenizer)
        self._longest = teacher.longest - 2
        self._of_sentences = of_sentences
        self._aims = None if of_sentences is None else _bare(of_sentences.tokenizer.backend_tokenizer)
        self._whole = math.ceil(settings.sentence_share * settings.batch) if settings.sentence_weight else 0
        self._mono, self._pairs = (self._chances(part) for part in (packed.text, packed.text_pairs))

    def _chances(self, part: Mapping[str, Lines]) -> tuple[list[str], list[float]]:
        sizes = {language: len(lines.utf8) for language, lines in part.items()}
        found = shares(sizes, self._settings.language_exponent) if sizes else {}
        return list(found), list(found.values())

    def __call__(self, step: int) -> Lesson:
        rng = np.random.default_rng([self._settings.seed, step, STREAM])
        translated = rng.random() < self._settings.translation_share and bool(self._packed.text_pairs)
        rows = self._translations(rng) if translated else self._text(rng)
        sentences = iter(self._read([text for row in rows for text in row]))
        read = [[next(sentences) for _ in row] for row in rows]
        if self._of_sentences is not None:
            texts = [row[0] for row in rows[: self._whole]]
            read[: self._whole] = self._aimed(read[: self._whole], texts)
        return Lesson(read, self._whole)

    def _text(self, rng: np.random.Generator) -> list[tuple[str, ...]]:
        names, chances = self._mono
        languages = rng.choice(len(names), size=self._settings.batch, p=chances)
        parts = [self._packed.text[names[number]] for number in languages]
        return [(lines[int(rng.integers(len(lines)))],) for lines in parts]

    def _translations(self, rng: np.random.Generator) -> list[tuple[str, ...]]:
        names, chances = self._pairs
        languages = rng.choice(len(names), size=self._settings.batch, p=chances)
        parts = [self._packed.text_pairs[names[number]] for number in languages]
        first = [2 * int(rng.integers(len(lines) // 2)) for lines in parts]
        return [(lines[at], lines[at + 1]) for lines, at in zip(parts, first, strict=True)]

    def _read(self, texts: Sequence[str]) -> list[Sentence]:
        own = self._own.encode_batch(texts, add_special_tokens=False)
        for encoding in own:
            encoding.truncate(self._settings.length - 2)
        texts = [text[: _end(encoding)] for text, encoding in zip(texts, own, strict=True)]
        prefixed = [self._prefix + text for text in texts]
        theirs = self._teachers.encode_batch(prefixed, add_special_tokens=False)
        return [self._sentence(*three) for three in zip(prefixed, own, theirs, strict=True)]

    def _aimed(self, rows: Sequence[list[Sentence]], first: Sequence[str]) -> list[list[Sentence]]:
        """With what the teacher of sentences reads of each row's first one."""
        assert self._of_sentences is not None
        assert self._aims is not None
        found = self._aims.encode_batch([self._of_sentences.prefix + text for text in first], add_special_tokens=False)
        for encoding in found:
            encoding.truncate(self._of_sentences.longest - 2)
        aimed = [dataclasses.replace(row[0], aim=tuple(e.ids)) for row, e in zip(rows, found, strict=True)]
        return [[english, *row[1:]] for english, row in zip(aimed, rows, strict=True)]

    def _sentence(self, prefixed: str, own: Encoding, theirs: Encoding) -> Sentence:
        theirs.truncate(self._longest)
        before = len(self._prefix)
        mine = trimmed(prefixed[before:], own.offsets) + before
        met, by = shared(mine, trimmed(prefixed, theirs.offsets))
        ends = len(own.ids) + 1, len(theirs.ids) + 1  # [CLS] learns from [CLS], [SEP] from [SEP]
        begin = [0] if self._of_sentences is None else []  # else [CLS] learns from the teacher of sentences
        met, by = (np.array([*begin, *(at + 1), end]) for at, end in zip((met, by), ends, strict=True))
        return Sentence(tuple(own.ids), tuple(theirs.ids), met, by)


def standard(teacher: Teacher, packed: Packed, settings: PretrainSettings) -> Teacher:
    """The teacher with its vectors made standard on the text of the first lessons, the same for every worker."""
    text = Lessons(packed, dataclasses.replace(settings, batch=SAMPLE, translation_share=0.0), teacher)
    return teacher.standard([sentence.teachers for row in text(0).rows for sentence in row])


def _bare(tokenizer: Tokenizer) -> Tokenizer:
    found = copy.deepcopy(tokenizer)
    found.no_padding()
    found.no_truncation()
    return found


def _end(encoding: Encoding) -> int:
    return encoding.offsets[-1][1] if encoding.offsets else 0
