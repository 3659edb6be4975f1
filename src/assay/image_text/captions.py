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

Inputs = Callable[[NDArray[np.int64], np.random.Generator], Tensor]
"""Positions of pairs and a generator -> what the image tower is given, or features already computed."""


class Captions:
    """The texts of pairs.

    Args:
        pairs: whose texts.
        tokenizer: makes tokens of them.
        languages: those that are drawn from; all if not given.

    Raises:
        ValueError: a pair has no text in any of them; the message says which.
    """

    def __init__(self, pairs: Pairs, tokenizer: Tokenizer, languages: Sequence[str] | None = None) -> None:
        chosen = tuple(languages or pairs.languages)
        texts: list[str] = []
        first = np.zeros((len(pairs), len(chosen)), np.int64)
        self._counts = np.zeros_like(first)
        for index in range(len(pairs)):
            for column, language in enumerate(chosen):
                own = pairs.texts(index, language)
                first[index, column], self._counts[index, column] = len(texts), len(own)
                texts += own
        missing = np.flatnonzero(self._counts.sum(axis=1) == 0)
        if len(missing):
            raise ValueError(f"{pairs.name}: pair {missing[0]} has no text in {', '.join(chosen)}")
        self._first = first
        self._tokens = torch.from_numpy(tokenizer(texts))

    def drawn(self, indices: NDArray[np.int64], rng: np.random.Generator) -> Tensor:
        """The tokens of one text for each of these pairs, int64 [count, length]."""
        counts = self._counts[indices]
        chances = np.where(counts > 0, rng.random(counts.shape), -1.0)
        language = chances.argmax(axis=1)
        rows = np.arange(len(indices))
        place = (rng.random(len(indices)) * counts[rows, language]).astype(np.int64)
        return self._tokens[torch.from_numpy(self._first[indices][rows, language] + place)]


def all_texts(pairs: Pairs, languages: Sequence[str] | None = None) -> list[str]:
    """Every text of every pair, as often as it occurs."""
    chosen = tuple(languages or pairs.languages)
    return [text for index in range(len(pairs)) for one in chosen for text in pairs.texts(index, one)]


class PairBatches:
    """Batches (images, tokens, groups) in seeded epochs, which can be left and resumed at any batch.

    Args:
        inputs: see `Inputs`.
        captions: texts of the same pairs.
        groups: a number for each pair; pairs of one group are not each other's negatives.
        batch_size: pairs of a step, of all ranks together; fewer if there are fewer.
        run: its seed draws the order, the texts and what `inputs` draws.
    """

    def __init__(
        self, inputs: Inputs, captions: Captions, groups: NDArray[np.int64], batch_size: int, run: Run
    ) -> None:
        self._inputs, self._captions = inputs, captions
        self._groups = torch.from_numpy(groups)
        self._seed, self._rank, self._step = run.seed, run.rank, 0
        size = min(batch_size, len(groups)) // run.world * run.world
        positions = torch.arange(len(groups))
        self._order = Batches(positions, size, run.rng("order"), rank=run.rank, world=run.world)

    def __len__(self) -> int:
        """Batches per epoch."""
        return len(self._order)

    @property
    def batch_size(self) -> int:
        """Pairs per batch, of all ranks together."""
        return self._order.batch_size

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        for (positions,) in self._order:
            rng = np.random.default_rng([self._seed, self._rank, self._step])
            self._step += 1
            indices = positions.numpy()
            yield self._inputs(indices, rng), self._captions.drawn(indices, rng), self._groups[positions]

    def state_dict(self) -> dict[str, Any]:
        """Where the next batch comes from."""
        return {"order": self._order.state_dict(), "step": self._step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes to where `state_dict` was called."""
        self._order.load_state_dict(state["order"])
        self._step = state["step"]
