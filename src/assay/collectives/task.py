"""The collectives question: which way of summing over ranks is fastest on this machine, and is it exact?

The data contract: a number of ranks, the bytes of the array on each, and its dtype. Seeds draw the values.
Ranks are processes of this machine; measurements take turns, so that they do not measure each other.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from assay.collectives.problem import EPSILON, Problem, parse_size
from assay.core.board import Board
from assay.core.method import settings as settings_of
from assay.core.run import Run, Scale
from assay.core.task import Figure, Metric, Task
from assay.data.table import ContractError

if TYPE_CHECKING:
    from assay.collectives.measurement import Measurement
    from assay.collectives.outcome import Outcome

_BYTES: dict[Scale, int] = {"smoke": 2**20, "default": 2**24, "full": 2**28}
_RANKS: dict[Scale, int] = {"smoke": 2, "default": 4, "full": 4}


class Collectives(Task):
    """Sum an array over ranks."""

    name = "collectives"
    question = "Which all-reduce is fastest for arrays of this size on this machine?"
    default_data = "random"
    libraries = ("torch",)
    alone = True
    methods: ClassVar[Mapping[str, str]] = {
        "ring": "assay.collectives.ring:Ring",
        "ring-pipelined": "assay.collectives.ring_pipelined:RingPipelined",
        "halving-doubling": "assay.collectives.halving_doubling:HalvingDoubling",
        "tree": "assay.collectives.tree:Tree",
        "gloo": "assay.collectives.gloo:Gloo",
    }

    def load(
        self,
        source: Any = None,
        *,
        scale: Scale = "default",
        ranks: int | None = None,
        bytes: int | str | None = None,
        dtype: str = "float32",
    ) -> Problem:
        """The array that is summed, filled with random values.

        Args:
            source: None or "random"; or a Problem.
            scale: how many ranks and bytes, where they are not given.
            ranks: number of processes, from 2 up.
            bytes: of the array on each rank, such as 4096 or "64M".
            dtype: float64, float32, float16, bfloat16, int64, int32 or uint8.

        Raises:
            ContractError: a value is not what it must be.
        """
        if isinstance(source, Problem):
            return source
        if source not in (None, self.default_data):
            raise ContractError(
                f"expected no data but {self.default_data!r}: give ranks and bytes, got {str(source)!r}"
            )
        return Problem(
            ranks=_RANKS[scale] if ranks is None else ranks,
            bytes=_BYTES[scale] if bytes is None else parse_size(bytes),
            dtype=dtype,
        )

    def save_data(self, data: Problem, folder: Path) -> None:
        """Writes the problem into an empty folder."""
        data.save(folder)

    def open_data(self, folder: Path) -> Problem:
        """The problem that `save_data` wrote."""
        return Problem.open(folder)

    def metrics(self, data: Problem) -> Sequence[Metric]:
        """The time first."""
        return (
            Metric("time", "lower", "ms"),
            Metric("bus bandwidth", "higher", "GB/s"),
            Metric("sent per rank", "lower", "bytes"),
            Metric("numeric error", "lower", "eps"),
            Metric("identical ranks", "higher"),
        )

    def accept(self, method: Any, data: Problem) -> Any:
        """A user's own object (or class) with `sum(tensor)`, in place over torch's default process group.

        Raises:
            TypeError: it has no such function, or it does not say its settings, by which a trial is known.
        """
        method = method() if isinstance(method, type) else method
        if not callable(getattr(method, "sum", None)):
            raise TypeError(f"expected a method with sum(tensor), got {method!r}")
        try:
            settings_of(method)
        except TypeError:
            raise TypeError(
                "expected a method with sum(tensor) that is a dataclass or says its settings with "
                f"get_params(), got {method!r}"
            ) from None
        return method

    def split(self, data: Problem, seed: int) -> tuple[Problem, Problem]:
        """The same problem twice: the sum is judged where it was made."""
        return data, data

    def fit(self, method: Any, train: Problem, run: Run) -> "Measurement":
        """The measurement of the method."""
        from assay.collectives.measurement import measure

        return measure(method, train, run)

    def predict(self, model: "Measurement", test: Problem, run: Run) -> "Outcome":
        """What was summed, and what it took."""
        return model.outcome

    def score(self, outputs: "Outcome", test: Problem) -> Mapping[str, float]:
        """Every metric of `metrics`, by the definitions in `assay.collectives.metrics`.

        The error is in units of the dtype's epsilon, the distance from 1 to the next number.
        """
        from assay.collectives.metrics import bus_bandwidth

        return {
            "time": 1e3 * outputs.seconds,
            "bus bandwidth": bus_bandwidth("all_reduce", test.bytes, outputs.seconds, test.ranks) / 1e9,
            "sent per rank": float(outputs.bytes_sent),
            "numeric error": outputs.error / EPSILON.get(test.dtype, 1.0),
            "identical ranks": float(outputs.identical),
        }

    def load_model(self, folder: Path) -> "Measurement":
        """The measurement that `save_model` wrote."""
        from assay.collectives.measurement import Measurement

        return Measurement.load(folder)

    def figures(self, board: Board) -> Sequence[Figure]:
        """Bandwidth and time against size, beside the cost model, and its extrapolation to many ranks."""
        from assay.collectives.figures import figures

        return tuple(figures(board))


task = Collectives()
