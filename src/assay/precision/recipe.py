"""Recipe: what all methods of the wing share; each of them is a policy with a name."""

from dataclasses import dataclass
from typing import ClassVar

from assay.core.run import Run
from assay.precision.network import Network
from assay.precision.policy import Policy
from assay.precision.problem import Problem
from assay.precision.training import trained


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A network with rectified layers, trained by stochastic gradient descent under a policy.

    Args:
        hidden: sizes of the hidden layers.
        steps: of the optimizer; a budget takes their place.
        batch_size: images per step.
        learning_rate: at the beginning, for a loss averaged over one position.
        momentum: in [0, 1).

    Raises:
        ValueError: a setting is out of range.
    """

    policy: ClassVar[Policy]

    hidden: tuple[int, ...] = (64, 64)
    steps: int = 1000
    batch_size: int = 64
    learning_rate: float = 0.03
    momentum: float = 0.0

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "learning_rate"):
            if not getattr(self, name) > 0:
                raise ValueError(f"expected {name} above 0, got {getattr(self, name)}")
        if not all(size > 0 for size in self.hidden):
            raise ValueError(f"expected sizes above 0 in hidden, got {self.hidden}")
        if not 0 <= self.momentum < 1:
            raise ValueError(f"expected momentum in [0, 1), got {self.momentum}")

    @property
    def growth_interval(self) -> int:
        """Good steps in a row before a loss scale grows; recipes without one never ask."""
        return 2000

    def fit(self, problem: Problem, *, run: Run | None = None) -> Network:
        """The trained network."""
        run = run or Run()
        return trained(
            problem,
            self.policy,
            run,
            hidden=self.hidden,
            steps=self.steps,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            momentum=self.momentum,
            interval=self.growth_interval,
        )


@dataclass(frozen=True, kw_only=True)
class ScaledRecipe(Recipe):
    """A recipe with a dynamic loss scale.

    Args:
        interval: good steps in a row before the scale grows; the field's 2,000 is more than a short training.
    """

    interval: int = 100

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.interval < 1:
            raise ValueError(f"expected interval of at least 1, got {self.interval}")

    @property
    def growth_interval(self) -> int:
        """`interval`."""
        return self.interval
