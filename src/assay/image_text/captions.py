"""The texts of pairs as tokens, of which one per pair and step is drawn; and batches of pairs.

A pair's language is drawn first and then one of its texts in that language, so that a language with more
texts does not push the others out. No text of one language is ever paired with one of another: images are
what they have in common.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from assay.core.run import Run
from assay.data.pairs import Pairs
from assay.image_text.tokenizer import Tokenizer
from assay.train.batches import Batches

Inputs = Callable[[NDArray[np.int64], np.random.Generator], Any]
"""Positions of pairs and a generator -> what the image tower is given, or features already computed. What is
drawn for a pair should depend on the pair and not on its place: then many ranks draw what one would."""

Said = Callable[[NDArray[np.int64], np.random.Generator], Tensor]
"""Positions of pairs and a generator -> a row for each, of what is said of its image."""


class Captions:
    """The texts of pairs.

    Args:
        pairs: whose texts.
        tokenizer: makes tokens of them.
        languages: those that are drawn from; all if not given.
        tags: share of the draws that give a word of the column `tags_LANGUAGE` instead, where there is one.

    Raises:
        ValueError: a pair has no text in any of them; the message says which.
    """

    def __init__(
        self,
        pairs: Pairs,
        tokenizer: Tokenizer,
        languages: Sequence[str] | None = None,
        *,
        tags: float = 0.0,
    ) -> None:
        chosen = tuple(languages or pairs.languages)
        texts: list[str] = []
        self._tags = tags
        kinds = (_texts_of(pairs, chosen), _tags_of(pairs, chosen)) if tags else (_texts_of(pairs, chosen),)
        self._first = np.zeros((len(kinds), len(pairs), len(chosen)), np.int64)
        self._counts = np.zeros_like(self._first)
        for kind, rows in enumerate(kinds):
            for index, by_language in enumerate(rows):
                for column, own in enumerate(by_language):
                    self._first[kind, index, column] = len(texts)
                    self._counts[kind, index, column] = len(own)
                    texts += own
        missing = np.flatnonzero(self._counts[0].sum(axis=1) == 0)
        if len(missing):
            raise ValueError(f"{pairs.name}: pair {missing[0]} has no text in {', '.join(chosen)}")
        self._tokens = torch.from_numpy(tokenizer(texts))

    def drawn(self, indices: NDArray[np.int64], rng: np.random.Generator) -> Tensor:
        """The tokens of one text for each of these pairs, int64 [count, length]."""
        kind = np.zeros(len(indices), np.int64)
        if self._tags:
            kind += (rng.random(len(indices)) < self._tags) & (self._counts[1, indices].sum(axis=1) > 0)
        counts = self._counts[kind, indices]
        chances = np.where(counts > 0, rng.random(counts.shape), -1.0)
        language = chances.argmax(axis=1)
        rows = np.arange(len(indices))
        place = (rng.random(len(indices)) * counts[rows, language]).astype(np.int64)
        return self._tokens[torch.from_numpy(self._first[kind, indices][rows, language] + place)]


def all_texts(pairs: Pairs, languages: Sequence[str] | None = None, *, tags: bool = False) -> list[str]:
    """Every text of every pair, as often as it occurs, and every tag if these are asked for."""
    chosen = tuple(languages or pairs.languages)
    kinds = (_texts_of(pairs, chosen), _tags_of(pairs, chosen)) if tags else (_texts_of(pairs, chosen),)
    return [text for rows in kinds for row in rows for own in row for text in own]


def _texts_of(pairs: Pairs, languages: Sequence[str]) -> list[list[tuple[str, ...]]]:
    """Of every pair, by language, its texts."""
    return [[pairs.texts(index, language) for language in languages] for index in range(len(pairs))]


def _tags_of(pairs: Pairs, languages: Sequence[str]) -> list[list[tuple[str, ...]]]:
    """Of every pair, by language, the words of its column of tags; none where there is no such column."""
    columns = [f"tags_{language}" for language in languages]
    known = [pairs.column(name) if name in pairs.columns else [()] * len(pairs) for name in columns]
    return [[tuple(words or ()) for words in row] for row in zip(*known, strict=True)]


class PairBatches:
    """Batches (images, what is said, groups) in seeded epochs, which can be left and resumed at any batch.

    Args:
        inputs: see `Inputs`.
        said: what is said of the images at these positions, such as `Captions.drawn`; of the same pairs.
        groups: a number for each pair; pairs of one group are not each other's negatives.
        batch_size: pairs of a step, of all ranks together; fewer if there are fewer.
        run: its seed draws the order and what `inputs` and `said` draw.
    """

    def __init__(
        self, inputs: Inputs, said: Said, groups: NDArray[np.int64], batch_size: int, run: Run
    ) -> None:
        self._inputs, self._said = inputs, said
        self._groups = torch.from_numpy(groups)
        self._seed, self._rank, self._world, self._step = run.seed, run.rank, run.world, 0
        size = min(batch_size, len(groups)) // run.world * run.world
        self._order = Batches(torch.arange(len(groups)), size, run.rng("order"))

    def __len__(self) -> int:
        """Batches per epoch."""
        return len(self._order)

    @property
    def batch_size(self) -> int:
        """Pairs per batch, of all ranks together."""
        return self._order.batch_size

    def __iter__(self) -> Iterator[tuple[Any, Tensor, Tensor]]:
        for (positions,) in self._order:
            rng = np.random.default_rng([self._seed, 0, self._step])
            self._step += 1
            # Texts are drawn for all ranks, of which each takes its own.
            said = self._said(positions.numpy(), rng)
            count = len(positions) // self._world
            share = slice(self._rank * count, (self._rank + 1) * count)
            yield self._inputs(positions[share].numpy(), rng), said[share], self._groups[positions[share]]

    def state_dict(self) -> dict[str, Any]:
        """Where the next batch comes from."""
        return {"order": self._order.state_dict(), "step": self._step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes to where `state_dict` was called."""
        self._order.load_state_dict(state["order"])
        self._step = state["step"]
