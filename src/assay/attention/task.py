"""The attention question: the same function of q, k and v, in less time and memory.

The data contract: a shape, batch x heads x length x dim, or the name of a model's, with what belongs to it:
causal or not, a window, the dtype, whether gradients are wanted. A seed fixes the numbers. All methods
compute the same function, so that time decides; memory and the error against float64 stand beside it.
"""

import importlib.util
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from assay.attention.problem import SHAPES, Dtype, Problem, parse_shape
from assay.core.board import Board
from assay.core.files import write_json
from assay.core.method import locate
from assay.core.run import Run, Scale
from assay.core.task import Figure, Metric, Task
from assay.data.table import ContractError

if TYPE_CHECKING:
    from assay.attention.methods import Fitted

_SMOKE = {"batch": 1, "heads": 2, "length": 64}
_CURVE = (8, 4, 2, 1)  # parts of the length at which time is measured


class Attention(Task):
    """Compute attention in less time and memory."""

    name = "attention"
    question = "Which method computes attention fastest at this shape, in how much memory?"
    default_data = "gpt2"
    libraries = ("torch",)
    alone = True
    methods: ClassVar[Mapping[str, str]] = {
        "naive": "assay.attention.methods:Naive",
        "online": "assay.attention.methods:Online",
        "flash1": "assay.attention.methods:Flash1",
        "flash2": "assay.attention.methods:Flash2",
        "flash3": "assay.attention.methods:Flash3",
        "triton": "assay.attention.methods:Triton",
        "sdpa": "assay.attention.methods:SDPA",
    }

    def load(
        self,
        source: Any = None,
        *,
        scale: Scale = "default",
        shape: str | None = None,
        causal: bool | None = None,
        left: int | None = None,
        kv_heads: int | None = None,
        keys: int | None = None,
        dtype: Dtype | None = None,
        gradients: bool | None = None,
    ) -> Problem:
        """The problem of a shape.

        Args:
            source: a shape, as `shape`; or a Problem. None for gpt2, at full scale for llama-3-8b.
            shape: batch, heads, queries and width such as 4x16x4096x64; or gpt2, bert-base, vit-l16 or
                llama-3-8b for one layer of that model.
            scale: "smoke" makes the default's shape small.
            causal: a query does not see later keys; None for what the model does, else false.
            left: how many earlier keys a query sees; None for all.
            kv_heads: heads of keys and values; None for the model's, else as many as of queries.
            keys: how many keys there are; None for as many as queries.
            dtype: fp16, bf16, fp32 or fp64; None for the comparison's precision.
            gradients: time the backward pass too.

        Raises:
            ContractError: no such shape, or settings that do not go together.
        """
        if isinstance(source, Problem):
            return source
        if source is not None and shape is not None:
            raise ContractError(f"expected one shape, got {source!r} and {shape!r}")
        named = source if source is not None else shape
        given: dict[str, Any]
        if named is None:
            given = dict(SHAPES["llama-3-8b" if scale == "full" else self.default_data])
            given |= _SMOKE if scale == "smoke" else {}
        else:
            given = parse_shape(str(named))
        around = Run()
        if around.device != "cpu" and _device() == "cpu":
            raise ContractError(f"device {around.device}: there is no GPU here")
        given |= {"device": around.device, "dtype": dtype or around.precision}
        options = {
            "causal": causal,
            "left": left,
            "kv_heads": kv_heads,
            "keys": keys,
            "gradients": gradients,
        }
        return Problem(**given | {name: value for name, value in options.items() if value is not None})

    def save_data(self, data: Problem, folder: Path) -> None:
        """Writes the problem into an empty folder."""
        write_json(folder / "problem.json", asdict(data))

    def open_data(self, folder: Path) -> Problem:
        """The problem that `save_data` wrote."""
        return Problem(**json.loads((folder / "problem.json").read_text("utf-8")))

    def metrics(self, data: Problem) -> Sequence[Metric]:
        """The median time of a step first; the error is a difference from float64, in millionths."""
        return (
            Metric("time", "lower", "ms"),
            Metric("peak memory", "lower", "MB"),
            Metric("max error", "lower", "1e-6"),
            Metric("GFLOP/s", "higher"),
        )

    def answers(self, name: str, data: Problem) -> str | None:
        """Torch's own has no window, and causal only for as many queries as keys; Triton wants a GPU."""
        if name == "triton":
            return "it runs on a GPU" if data.device == "cpu" and not _interpreted() else self.available(name)
        if name == "sdpa" and data.left >= 0:
            return "it has no window"
        if name == "sdpa" and data.causal and data.num_keys != data.length:
            return "its causal attention aligns the first query with the first key"
        return None

    def available(self, name: str) -> str | None:
        """Triton needs its package, and a GPU unless it is interpreted."""
        if name != "triton":
            return None
        if importlib.util.find_spec("triton") is None:
            return "the package triton"
        return None if _interpreted() or _device() == "cuda" else "a GPU"

    def split(self, data: Problem, seed: int) -> tuple[Problem, Problem]:
        """The problem twice, with the numbers of the seed."""
        seeded = replace(data, seed=seed)
        return seeded, seeded

    def fit(self, method: Any, train: Problem, run: Run) -> "Fitted":
        """The function of q, k and v that the method made, with the run's threads, which `curve` needs."""
        from assay.attention.methods import Fitted

        return Fitted(method.fit(train, run=run), run.threads)

    def predict(self, model: Any, test: Problem, run: Run) -> Any:
        """The output with its time and memory; an `assay.attention.measuring.Outcome`."""
        from assay.attention.measuring import measured

        return measured(model, test, run)

    def score(self, outputs: Any, test: Problem) -> Mapping[str, float]:
        """Every metric of `metrics`, by the definitions in `assay.attention.measuring`."""
        from assay.attention.measuring import error, median_milliseconds

        time = median_milliseconds(outputs)
        return {
            "time": time,
            "peak memory": outputs.peak_bytes / 1e6,
            "max error": error(outputs, test),
            "GFLOP/s": test.flops / time / 1e6,
        }

    def curve(self, model: "Fitted", test: Problem) -> Sequence[tuple[float, float]]:
        """The time at an eighth, a quarter and a half of the length, and at all of it."""
        from assay.attention.measuring import measured, median_milliseconds

        points = []
        for length in sorted({max(1, test.length // part) for part in _CURVE}):
            keys = None if test.keys is None else max(1, test.keys * length // test.length)
            shorter = replace(test, length=length, keys=keys)
            outcome = measured(_for(model.function, shorter), shorter, Run(threads=model.threads))
            points.append((float(length), median_milliseconds(outcome)))
        return points

    def curve_axis(self) -> str:
        """Queries."""
        return "length"

    def save_model(self, model: "Fitted", folder: Path) -> bool:
        """Writes the method and its problem into `folder`; a user's own function has no file."""
        return super().save_model(model.function, folder)

    def load_model(self, folder: Path) -> Any:
        """The method that `save_model` wrote, ready for its problem."""
        return locate("assay.attention.methods:Prepared").load(folder)

    def figures(self, board: Board) -> Sequence[Figure]:
        """Time and memory against the length, and on a GPU the rate beside what is possible."""
        from assay.attention.figures import figures

        return tuple(figures(board))


def _for(model: Any, problem: Problem) -> Any:
    """The model for another problem, if it was made ready for one."""
    return replace(model, problem=problem) if hasattr(model, "problem") else model


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _interpreted() -> bool:
    return os.environ.get("TRITON_INTERPRET") == "1"


task = Attention()
