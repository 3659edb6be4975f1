"""What ring, halving-doubling and tree have in common: tables of steps by operation, and how they are run."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from torch import Tensor

from assay.collectives.schedule import Ints, Schedule, Step, rotated
from assay.core.run import Run

if TYPE_CHECKING:
    from assay.collectives.measurement import Measurement
    from assay.collectives.operations import Work
    from assay.collectives.problem import Problem

Operation = Literal["all_reduce", "reduce_scatter", "all_gather", "broadcast", "reduce"]
Table = Callable[[int, int], Iterable[Step]]
"""(ranks, length) -> the steps, with rank 0 as root."""
Tables = Mapping[str, Table]


@dataclass(frozen=True, kw_only=True)
class Algorithm(ABC):
    """An algorithm for all operations; a method of the task."""

    tables: ClassVar[Tables]
    segment_bytes: int | None = None

    def __post_init__(self) -> None:
        if self.segment_bytes is not None and self.segment_bytes < 1:
            raise ValueError(f"segment_bytes must be at least 1, got {self.segment_bytes}")

    @abstractmethod
    def owned(self, ranks: int, length: int) -> tuple[Ints, Ints]:
        """Start and stop of what each rank owns between reduce-scatter and all-gather."""

    def steps(self, operation: Operation, ranks: int, length: int, root: int = 0) -> Schedule:
        """The steps of an operation.

        Args:
            operation: which.
            ranks: how many.
            length: elements of the tensor, the whole one for reduce-scatter and all-gather.
            root: of broadcast and reduce.
        """
        return rotated(self.walk(operation, ranks, length), root, ranks)

    def walk(self, operation: Operation, ranks: int, length: int) -> Iterator[Step]:
        """The same with rank 0 as root, one step at a time: those of thousands of ranks fill a memory."""
        if operation in self.tables:
            yield from self.tables[operation](ranks, length)
        else:
            yield from self.tables["reduce_scatter"](ranks, length)
            yield from self.tables["all_gather"](ranks, length)

    def sum(self, tensor: Tensor) -> None:
        """Sums a tensor over all ranks, in place."""
        from assay.collectives.operations import all_reduce

        all_reduce(tensor, algorithm=self)

    def launch(self, tensor: Tensor) -> "Work":
        """Begins such a sum; a handle to wait for."""
        from assay.collectives.operations import all_reduce

        work = all_reduce(tensor, async_op=True, algorithm=self)
        assert work is not None
        return work

    def fit(self, data: "Problem", *, run: Run | None = None) -> "Measurement":
        """The time, the bytes and the result of an all-reduce."""
        run = run or Run()
        from assay.collectives.measurement import measure

        return measure(self, data, run)
