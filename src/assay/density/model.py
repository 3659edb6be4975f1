"""What every fitted distribution offers: log-probabilities, samples, in-painting, saving and loading."""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from assay.core.files import write_json
from assay.core.method import locate
from assay.density.contract import Bits, bits, read_binary

Array = NDArray[Any]
Weights = Mapping[str, Array]

FAMILIES = {
    "bernoulli": "assay.density.bernoulli:BernoulliModel",
    "mixture": "assay.density.mixture:MixtureModel",
    "fvsbn": "assay.density.fvsbn:FVSBNModel",
    "nade": "assay.density.nade:NADEModel",
    "eonade": "assay.density.eonade:EoNADEModel",
    "made": "assay.density.made:MADEModel",
}
"""What a saved model may be."""


class Moment(NamedTuple):
    """The weights at the end of an epoch."""

    epoch: int
    weights: Weights


@dataclass(frozen=True, eq=False, kw_only=True)
class DensityModel(ABC):
    """A distribution over binary vectors.

    Args:
        weights: what was learned.
        structure: arrays that were drawn or chosen and not learned, such as orders.
        picture: height and width if the variables are pixels.
        history: the weights now and then while they were learned; not saved.
    """

    family: ClassVar[str]

    weights: Weights
    structure: Weights = field(default_factory=dict)
    picture: tuple[int, int] | None = None
    history: Sequence[Moment] = ()

    @property
    @abstractmethod
    def num_variables(self) -> int:
        """How many bits a vector has."""

    @abstractmethod
    def log_prob(self, x: Array) -> NDArray[np.float64]:
        """log p of each row in nats.

        Args:
            x: 0 and 1, of shape (rows, variables).

        Raises:
            ContractError: a value is not 0 or 1, or the number of columns is another.
        """

    @abstractmethod
    def sample(self, num: int, rng: np.random.Generator) -> Bits:
        """`num` independent draws, of shape (num, variables)."""

    @abstractmethod
    def in_paint(self, x: Array, observed: NDArray[np.bool_], rng: np.random.Generator) -> Bits:
        """`x` with the bits that are not observed drawn given those that are, one draw per row.

        Args:
            x: 0 and 1, of shape (rows, variables); what stands in unobserved places is ignored.
            observed: of the same shape, or one row for all.
            rng: of the draws.
        """

    @abstractmethod
    def in_paints_exactly(self, observed: NDArray[np.bool_]) -> bool:
        """Whether `in_paint` draws from the model's exact conditional, or only nearly so."""

    def predict(self, source: Any) -> NDArray[np.float64]:
        """log p, in nats, of each row of a file, array or frame of 0 and 1."""
        return self.log_prob(read_binary(source).x)

    def checked(self, x: Array) -> Array:
        """`x` in the type of the weights, after the contract's check."""
        first = next(iter(self.weights.values()))
        return bits(x, variables=self.num_variables).astype(first.dtype)

    def completion(self, x: Array, observed: NDArray[np.bool_]) -> tuple[Array, NDArray[np.bool_]]:
        """`x` with zeros in unobserved places, and `observed` in the shape of `x`."""
        observed = np.broadcast_to(np.asarray(observed, bool), np.shape(x))
        return self.checked(np.where(observed, x, 0)), observed

    def save(self, folder: Path) -> None:
        """Writes model.json and model.safetensors."""
        from safetensors.numpy import save_file

        groups = {"weights": self.weights, "structure": self.structure}
        arrays = {f"{group}.{name}": a for group, found in groups.items() for name, a in found.items()}
        save_file({name: np.ascontiguousarray(a) for name, a in arrays.items()}, folder / "model.safetensors")
        write_json(folder / "model.json", {"family": self.family, "picture": self.picture})

    @staticmethod
    def load(folder: Path) -> "DensityModel":
        """The model that `save` wrote.

        Raises:
            ValueError: the folder holds no such model.
        """
        from safetensors.numpy import load_file

        try:
            facts = json.loads((folder / "model.json").read_text("utf-8"))
            cls = locate(FAMILIES[facts["family"]])
            arrays = load_file(folder / "model.safetensors")
            picture = facts["picture"] and tuple(facts["picture"])
        except (KeyError, TypeError, ValueError, OSError) as error:
            raise ValueError(f"{folder}: expected a density model, got {error!r}") from None
        groups: dict[str, dict[str, Array]] = {"weights": {}, "structure": {}}
        for name, array in arrays.items():
            group, _, rest = name.partition(".")
            groups[group][rest] = array
        return cls(**groups, picture=picture)
