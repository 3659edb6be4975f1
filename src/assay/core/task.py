"""Task: a question, with its data contract, its metrics and the methods that answer it."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from assay.core.method import locate
from assay.core.method import settings as settings_of
from assay.core.run import Run, Scale

if TYPE_CHECKING:
    from assay.core.board import Board


@dataclass(frozen=True)
class Metric:
    """The name of a number, which direction is better, and its unit ("" for a plain ratio)."""

    name: str
    better: Literal["higher", "lower"]
    unit: str = ""

    def oriented(self, value: float) -> float:
        """`value` with its sign turned, if need be, so that more is better."""
        return value if self.better == "higher" else -value


@dataclass(frozen=True)
class Figure:
    """A picture for the report: a Plotly figure as JSON, or a PNG.

    Args:
        title: a few words.
        caption: what one sees; also the alternative text.
        plotly: {"data": [...], "layout": {...}} as `plotly.graph_objects.Figure.to_plotly_json` gives it.
        image: bytes of a PNG file.
    """

    title: str
    caption: str
    plotly: Mapping[str, Any] | None = None
    image: bytes | None = None


class Data(Protocol):
    """What a task compares methods on.

    Data that no other process can open, such as a function typed at a prompt, has an attribute `live` that is
    True; its trials are forked from this process.
    """

    @property
    def name(self) -> str:
        """What the user calls it: a file name or the name of a default data set."""
        ...

    def fingerprint(self) -> str:
        """A digest of the content, the same wherever it was read from."""
        ...

    def describe(self) -> Mapping[str, Any]:
        """What the reader should know, JSON-able: sizes, inferred types, notes."""
        ...


class Task(ABC):
    """One wing's question. A wing's `task.py` holds one subclass and one instance of it, called `task`.

    The order of a trial is `split`, `fit`, `predict`, `score`, `save_model`; only `fit` and `predict` are
    timed.
    """

    name: ClassVar[str]
    question: ClassVar[str]
    default_data: ClassVar[str]
    methods: ClassVar[Mapping[str, Any]]
    """Name on the command line -> what `method` builds from, usually "package.module:Class"."""
    peers: ClassVar[Mapping[str, Any]] = {}
    """The same for other libraries' answers."""
    sizes: ClassVar[Mapping[Scale, Mapping[str, Any]]] = {}
    """Scale -> settings that are others than the defaults there, for the methods that have them."""
    libraries: ClassVar[tuple[str, ...]] = ()
    """Distributions that its methods stand on, whose versions a board and a record name."""
    alone: ClassVar[bool] = False
    """Whether trials wait for each other unless told otherwise, because their times are the question."""

    # Data

    @abstractmethod
    def load(self, source: Any = None, *, scale: Scale = "default", **options: Any) -> Data:
        """The data of `source`: a path, an object in memory, a default data set's name; None for the default.

        Args:
            source: where the data is.
            scale: how much of a default data set is taken; the user's own data is always taken whole.
            options: of the task, such as `target`.

        Raises:
            ContractError: the data breaks the task's contract.
        """

    @abstractmethod
    def save_data(self, data: Any, folder: Path) -> None:
        """Writes `data` into an empty folder."""

    @abstractmethod
    def open_data(self, folder: Path) -> Any:
        """The data that `save_data` wrote."""

    @abstractmethod
    def metrics(self, data: Any) -> Sequence[Metric]:
        """The metrics; the first one decides."""

    # Methods

    def method(self, name: str, data: Any, settings: Mapping[str, Any], scale: Scale = "default") -> Any:
        """The method called `name`, with `settings` in place of its defaults and of what `sizes` says.

        Raises:
            ValueError: no such setting, or a value that the method refuses.
        """
        return configured(locate({**self.methods, **self.peers}[name]), name, settings, self.sizes.get(scale))

    def accept(self, method: Any, data: Any) -> Any:
        """A user's own object (or class) as a method of this task.

        Raises:
            TypeError: it does not have what the task needs.
        """
        method = method() if isinstance(method, type) else method
        settings_of(method)
        if not callable(getattr(method, "fit", None)):
            raise TypeError(f"expected a method with fit(...), got {method!r}")
        return method

    def answers(self, name: str, data: Any) -> str | None:
        """None when the method answers what `data` asks; else why it does not, and nobody adds it unasked."""
        return None

    def available(self, name: str) -> str | None:
        """None when the method can run here, else which package is missing."""
        return None

    # A trial

    @abstractmethod
    def split(self, data: Any, seed: int) -> tuple[Any, Any]:
        """The training and the test part; one split per seed, the same for every method."""

    def fit(self, method: Any, train: Any, run: Run) -> Any:
        """The fitted model."""
        return method.fit(train, run=run)

    @abstractmethod
    def predict(self, model: Any, test: Any, run: Run) -> Any:
        """The model's outputs on the test part."""

    @abstractmethod
    def score(self, outputs: Any, test: Any) -> Mapping[str, float]:
        """The value of every metric."""

    def curve(self, model: Any, test: Any) -> Sequence[tuple[float, float]]:
        """The deciding metric on the test part while the model was made, as (round, value); may be empty."""
        return ()

    def curve_axis(self) -> str:
        """What the first number of `curve` counts."""
        return "round"

    def save_model(self, model: Any, folder: Path) -> bool:
        """Writes the model into `folder` and returns True, or returns False if the model cannot be saved."""
        save = getattr(model, "save", None)
        if not callable(save):
            return False
        save(folder)
        return True

    @abstractmethod
    def load_model(self, folder: Path) -> Any:
        """The model that `save_model` wrote."""

    # A board

    def figures(self, board: "Board") -> Sequence[Figure]:
        """Pictures beyond what every report has, such as samples; `board.model` gives the models."""
        return ()


def configured(
    cls: Any, name: str, settings: Mapping[str, Any], sized: Mapping[str, Any] | None = None
) -> Any:
    """A method of class `cls` with these settings, and with those of `sized` that it has.

    Raises:
        ValueError: it has no such setting, or refuses the value.
    """
    known = settings_of(cls())
    for key in settings:
        if key not in known:
            raise ValueError(f"{name} has no setting {key!r}; it has {', '.join(sorted(known)) or 'none'}")
    return cls(**{key: value for key, value in (sized or {}).items() if key in known} | dict(settings))
