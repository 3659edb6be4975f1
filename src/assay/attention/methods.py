"""The methods of the board: what `fit` makes ready is called with q, k and v.

A user's own method needs no more than `fit(problem, run=...)` that returns a function of q, k and v.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from assay.attention import sdpa
from assay.attention.entry import Method, attend
from assay.attention.fp8 import fp8_attention
from assay.attention.naive import naive_attention
from assay.attention.operands import Sizes
from assay.attention.pattern import Pattern
from assay.attention.problem import Problem
from assay.core.method import build, spec
from assay.core.run import Run

Attention = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Prepared:
    """A method and the pattern of a problem: a function of q, k and v."""

    method: "Implementation"
    problem: Problem

    def __call__(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """out [batch, heads, Nq, D]."""
        return self.method.attend(q, k, v, self.problem.pattern())

    def save(self, folder: Path) -> None:
        """Writes method and problem into an empty folder."""
        for name, thing in (("method", self.method), ("problem", self.problem)):
            written = spec(thing)
            assert written is not None
            (folder / f"{name}.json").write_text(written, "utf-8")

    @classmethod
    def load(cls, folder: Path) -> "Prepared":
        """What `save` wrote."""
        return cls(*(build((folder / f"{name}.json").read_text("utf-8")) for name in ("method", "problem")))


@dataclass(frozen=True)
class Fitted:
    """What a method's `fit` gave, the user's own too, and on how many threads it is measured."""

    function: Attention
    threads: int

    def __call__(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """out [batch, heads, Nq, D]."""
        return self.function(q, k, v)


class Implementation(ABC):
    """A way of computing attention."""

    @abstractmethod
    def attend(self, q: Tensor, k: Tensor, v: Tensor, pattern: Pattern) -> Tensor:
        """out [batch, heads, Nq, Dv]."""

    def fit(self, problem: Problem, *, run: Run | None = None) -> Prepared:
        """The method, ready for the problem."""
        return Prepared(self, problem)


@dataclass(frozen=True, kw_only=True)
class Naive(Implementation):
    """See `assay.attention.naive`.

    Args:
        upcast: compute half precision in float32, which is more exact and slower.
    """

    upcast: bool = False

    def attend(self, q: Tensor, k: Tensor, v: Tensor, pattern: Pattern) -> Tensor:
        """out [batch, heads, Nq, Dv]."""
        return naive_attention(q, k, v, pattern, upcast=self.upcast)[0]


@dataclass(frozen=True, kw_only=True)
class Online(Implementation):
    """See `assay.attention.online`.

    Args:
        columns: keys absorbed at once.
    """

    columns: int = 256

    def attend(self, q: Tensor, k: Tensor, v: Tensor, pattern: Pattern) -> Tensor:
        """out [batch, heads, Nq, Dv]."""
        return attend(q, k, v, pattern, "online", sizes=Sizes(columns=self.columns))[0]


@dataclass(frozen=True, kw_only=True)
class _Tiled(Implementation):
    """A schedule of tiles.

    Args:
        rows, columns: queries and keys of a tile; None for sizes that suit the window.
    """

    rows: int | None = None
    columns: int | None = None

    def __post_init__(self) -> None:
        if (self.rows is None) != (self.columns is None):
            raise ValueError(f"give rows and columns, or neither; got {self.rows} and {self.columns}")
        self._sizes()

    def attend(self, q: Tensor, k: Tensor, v: Tensor, pattern: Pattern) -> Tensor:
        """out [batch, heads, Nq, Dv]."""
        return attend(q, k, v, pattern, self._schedule(), sizes=self._sizes())[0]

    def _sizes(self) -> Sizes | None:
        return None if self.rows is None or self.columns is None else Sizes(self.rows, self.columns)

    @abstractmethod
    def _schedule(self) -> Method: ...


@dataclass(frozen=True, kw_only=True)
class Flash1(_Tiled):
    """See `assay.attention.flash1`."""

    def _schedule(self) -> Method:
        return "flash1"


@dataclass(frozen=True, kw_only=True)
class Flash2(_Tiled):
    """See `assay.attention.flash2`."""

    def _schedule(self) -> Method:
        return "flash2"


@dataclass(frozen=True, kw_only=True)
class Flash3(_Tiled):
    """See `assay.attention.flash3`.

    Args:
        fp8: operands and weights in 8 bits, emulated, in tiles of its own and without a backward pass; see
            `assay.attention.fp8`.
    """

    fp8: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.fp8 and self.rows is not None:
            raise ValueError(f"with fp8 tiles cannot be chosen, got {self.rows} rows")

    def attend(self, q: Tensor, k: Tensor, v: Tensor, pattern: Pattern) -> Tensor:
        """out [batch, heads, Nq, Dv]."""
        if self.fp8:
            return fp8_attention(q, k, v, pattern)[0]
        return super().attend(q, k, v, pattern)

    def _schedule(self) -> Method:
        return "flash3"


@dataclass(frozen=True, kw_only=True)
class SDPA(Implementation):
    """See `assay.attention.sdpa`."""

    def attend(self, q: Tensor, k: Tensor, v: Tensor, pattern: Pattern) -> Tensor:
        """out [batch, heads, Nq, Dv]."""
        return sdpa.sdpa_attention(q, k, v, pattern)


@dataclass(frozen=True, kw_only=True)
class Triton(Implementation):
    """See `assay.attention.triton_kernels`.

    Args:
        deterministic: gradients are the same bits every time, for seven matrix products in place of five.
    """

    deterministic: bool = True

    def attend(self, q: Tensor, k: Tensor, v: Tensor, pattern: Pattern) -> Tensor:
        """out [batch, heads, Nq, Dv]."""
        return attend(q, k, v, pattern, "triton", self.deterministic)[0]
