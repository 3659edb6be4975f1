"""The outcome of an all-reduce: what it summed, the same each time, and what it took, another each time."""

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A sum and its price. Two outcomes are equal when their sums are.

    Args:
        digest: SHA-256 of rank 0's result.
        error: the largest numeric error of any rank; see `assay.collectives.metrics.numeric_error`.
        identical: whether all ranks have the same bits.
        seconds: median time of the slowest rank.
        bytes_sent: by the rank that sends most.
    """

    digest: str
    error: float
    identical: bool
    seconds: float = field(compare=False)
    bytes_sent: int = field(compare=False)
