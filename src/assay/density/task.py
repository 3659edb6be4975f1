"""The density question: model a distribution over binary vectors, and sample from it.

The data contract: rows of 0 and 1 without missing values, or grey values and a way to make bits of them,
which becomes part of the data's name. Bits made in different ways are different data, and their likelihoods
cannot be compared.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from assay.core.board import Board
from assay.core.run import Run, Scale
from assay.core.task import Figure, Metric, Task
from assay.data.table import ContractError
from assay.density.contract import Binarisation, BinaryData, binarised, read_binary
from assay.density.datasets import PICTURES, load_grey
from assay.density.likelihood import bits_per_dimension, negative_log_likelihood
from assay.density.model import DensityModel, Moment
from assay.density.training import threads

_TEST_SHARE = 0.25
_SMOKE_ROWS = 400
_SMOKE = {"max_epochs": 3, "hidden": 16, "num_components": 5}
_CURVE_POINTS = 25


class Density(Task):
    """Model a distribution over binary vectors."""

    name = "density"
    question = "Which method models this distribution over binary vectors best?"
    default_data = "digits"
    methods: ClassVar[Mapping[str, str]] = {
        "bernoulli": "assay.density.bernoulli:Bernoulli",
        "mixture": "assay.density.mixture:Mixture",
        "fvsbn": "assay.density.fvsbn:FVSBN",
        "nade": "assay.density.nade:NADE",
        "eonade": "assay.density.eonade:EoNADE",
        "made": "assay.density.made:MADE",
    }
    sizes: ClassVar[Mapping[Scale, Mapping[str, Any]]] = {"smoke": _SMOKE}

    def load(
        self,
        source: Any = None,
        *,
        scale: Scale = "default",
        binarise: Binarisation | None = None,
        threshold: float = 0.5,
    ) -> BinaryData:
        """The binary vectors of a file, of arrays or of a default data set.

        Args:
            source: digits, mnist or mnist-5k; a CSV, Parquet, .npy or .npz file; an array of two dimensions,
                or of three for pictures; a frame. None for digits, at full scale for mnist.
            scale: "smoke" takes 400 rows of a default data set.
            binarise: threshold, fixed or stochastic; see `Binarisation`. None for a default data set means
                threshold, and for one's own that its values are 0 and 1.
            threshold: the least grey value, in (0, 1], that becomes a 1.

        Raises:
            ContractError: a value is not what it must be; the message names row and column.
        """
        if isinstance(source, BinaryData):
            return source
        if source is None:
            source = "mnist" if scale == "full" else self.default_data
        if not (isinstance(source, str) and source in PICTURES):
            data = read_binary(source, binarise=binarise, threshold=threshold)
        else:
            grey, picture = load_grey(source)
            if scale == "smoke":
                chosen = np.random.default_rng(0).choice(len(grey), _SMOKE_ROWS, replace=False)
                grey = grey[np.sort(chosen)]
            how = binarise or "threshold"
            data = binarised(grey, how, threshold=threshold, name=source, picture=picture)
        if len(data) < 4:
            raise ContractError(
                f"{data.name}: expected at least 4 rows, to learn, to stop and to test, got {len(data)}"
            )
        return data

    def save_data(self, data: BinaryData, folder: Path) -> None:
        """Writes the data into an empty folder."""
        data.save(folder)

    def open_data(self, folder: Path) -> BinaryData:
        """The data that `save_data` wrote."""
        return BinaryData.open(folder)

    def metrics(self, data: BinaryData) -> Sequence[Metric]:
        """The negative log-likelihood of a row, and the same in bits per variable."""
        return Metric("NLL", "lower", "nats"), Metric("bits per dimension", "lower", "bits")

    def split(self, data: BinaryData, seed: int) -> tuple[BinaryData, BinaryData]:
        """Three quarters of the rows to learn from, and one to be tested on."""
        order = np.random.default_rng([seed, 0]).permutation(len(data))
        count = max(1, round(_TEST_SHARE * len(data)))
        return data.take(np.sort(order[count:])), data.take(np.sort(order[:count]))

    def fit(self, method: Any, train: BinaryData, run: Run) -> Any:
        """The fitted distribution."""
        with threads(run):
            return method.fit(train, run=run)

    def predict(self, model: Any, test: BinaryData, run: Run) -> NDArray[np.float64]:
        """log p of each test row, in nats."""
        with threads(run):
            return np.asarray(model.log_prob(test.x), np.float64)

    def score(self, outputs: NDArray[np.float64], test: BinaryData) -> Mapping[str, float]:
        """Every metric of `metrics`, by the definitions in `assay.density.likelihood`."""
        return {
            "NLL": negative_log_likelihood(outputs),
            "bits per dimension": bits_per_dimension(outputs, test.num_variables),
        }

    def curve(self, model: Any, test: BinaryData) -> Sequence[tuple[float, float]]:
        """The negative log-likelihood of the test rows at about 25 moments of the training."""
        history: list[Moment] = list(getattr(model, "history", ()))
        last = len(history) - 1
        picked = np.unique(np.linspace(0, last, min(_CURVE_POINTS, last + 1)).round().astype(int))
        points = []
        for moment in [history[i] for i in picked]:
            then = replace(model, weights=moment.weights)
            points.append((moment.epoch, negative_log_likelihood(then.log_prob(test.x))))
        return points

    def curve_axis(self) -> str:
        """Epochs."""
        return "epoch"

    def load_model(self, folder: Path) -> DensityModel:
        """The model that `save_model` wrote."""
        return DensityModel.load(folder)

    def figures(self, board: Board) -> Sequence[Figure]:
        """Samples and in-paintings of every method, if the data are pictures."""
        from assay.density.figures import figures

        return tuple(figures(board))


task = Density()
