"""Where the items of a stream come from: anything that can begin an epoch at any position."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np


@runtime_checkable
class Source(Protocol):
    """Items by epoch and position."""

    def items(self, epoch: int, start: int, step: int = 1) -> Iterator[Any]:
        """The items of an epoch at the positions start, start + step, ...

        The same arguments give the same items. None stands in place of one that is left out.
        """
        ...


class Ordered:
    """The items of a sequence, in order or, with a seed, in another order in every epoch.

    Args:
        sequence: anything with a length and positions, such as an array or a range.
        seed: of the orders; None keeps the sequence's own.
    """

    def __init__(self, sequence: Sequence[Any] | np.ndarray, seed: int | None = None) -> None:
        self._sequence, self._seed = sequence, seed

    def items(self, epoch: int, start: int, step: int = 1) -> Iterator[Any]:
        """See `Source`."""
        order: Sequence[int] | np.ndarray = range(len(self._sequence))
        if self._seed is not None:
            order = np.random.default_rng([self._seed, epoch]).permutation(len(order))
        return (self._sequence[int(order[place])] for place in range(start, len(order), step))


class Iterated:
    """The items of an iterable that is made anew for every epoch; to begin further on, items are passed over.

    Args:
        make: is given the epoch and gives back its items, the same ones every time.
    """

    def __init__(self, make: Callable[[int], Iterable[Any]]) -> None:
        self._make = make

    def items(self, epoch: int, start: int, step: int = 1) -> Iterator[Any]:
        """See `Source`."""
        return itertools.islice(self._make(epoch), start, None, step)
