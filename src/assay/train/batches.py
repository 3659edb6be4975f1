"""Seeded epochs over arrays in memory, for one process or many ranks, resumed at any batch."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor


class Batches:
    """Shuffled batches of the rows of equally long arrays; one pass of a `for` loop is one epoch.

    A pass that was left in the middle goes on there; `state_dict` says where that is, for any number of
    ranks: every rank draws the same order and takes its own share of each batch.

    Args:
        arrays: tensors or NumPy arrays with the same number of rows, or a single one.
        batch_size: rows per batch, of all ranks together.
        rng: draws the order of each epoch.
        drop_last: leave out the rows that do not fill a batch.
        rank, world: this process among how many.

    Raises:
        ValueError: the numbers of rows differ, there are fewer than a batch, or the batch size is no multiple
            of the number of ranks.
    """

    def __init__(
        self,
        arrays: Any,
        batch_size: int,
        rng: np.random.Generator,
        *,
        drop_last: bool = True,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        single = isinstance(arrays, (Tensor, np.ndarray))
        given: Sequence[Any] = [arrays] if single else arrays
        self.arrays = tuple(torch.as_tensor(array) for array in given)
        sizes = [len(array) for array in self.arrays]
        if not sizes or len(set(sizes)) > 1:
            raise ValueError(f"expected arrays with the same number of rows, got {sizes}")
        if batch_size < 1 or (drop_last and sizes[0] < batch_size):
            raise ValueError(f"expected a batch size from 1 to the {sizes[0]} rows, got {batch_size}")
        if batch_size % world or (world > 1 and not drop_last):
            raise ValueError(
                f"expected whole batches that {world} ranks can share equally, got batch size {batch_size}"
                f" and drop_last={drop_last}"
            )
        self.size, self.batch_size, self.drop_last = sizes[0], batch_size, drop_last
        self._rank, self._world = rank, world
        self._rng, self._position = rng, 0
        self._epoch_start = rng.bit_generator.state

    def __len__(self) -> int:
        """Batches per epoch."""
        whole, rest = divmod(self.size, self.batch_size)
        return whole + (rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        self._rng.bit_generator.state = self._epoch_start
        order = torch.from_numpy(self._rng.permutation(self.size))
        while self._position < len(self):
            first = self._position * self.batch_size
            self._position += 1  # Before the batch is handed out: it then counts as taken.
            rows = order[first : first + self.batch_size]
            if self._world > 1:
                rows = rows.chunk(self._world)[self._rank]
            yield tuple(array[rows.to(array.device)] for array in self.arrays)
        self._position = 0
        self._epoch_start = self._rng.bit_generator.state

    def state_dict(self) -> dict[str, Any]:
        """Where the next batch comes from: the generator at the start of the epoch, and batches taken."""
        return {"generator": self._epoch_start, "position": self._position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes to where `state_dict` was called."""
        self._epoch_start, self._position = state["generator"], state["position"]
