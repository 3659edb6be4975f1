"""Claim: a comparison with a predicted outcome and a source. It is re-run like any comparison, and judged.

A claim *measures* named quantities once per seed, each time in a process of its own, and *predicts* that one
exceeds another by a margin written down before it is run. The verdict comes from Student's t interval of the
paired differences.
"""

import dataclasses
import datetime
import difflib
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from assay import catalog
from assay.core import method as methods_
from assay.core.environment import cores, environment
from assay.core.files import write_json
from assay.core.progress import Display
from assay.core.run import Precision, Run, Scale, check_surroundings, within
from assay.core.scheduler import Limits, run_trials
from assay.core.statistics import Interval, interval
from assay.core.task import Metric, Task
from assay.core.trial import Store, Trial

Verdict = Literal["supported", "refuted", "open"]
Measure = Callable[[int, Scale], Mapping[str, float]]
"""Seed and scale -> the claim's quantities by name."""


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """`greater - smaller > margin`, paired by seed; without `smaller`, `greater > margin`.

    Args:
        greater, smaller: names of measured quantities.
        margin: in the quantities' unit; below zero for "at least as good, to within".
    """

    greater: str
    smaller: str | None = None
    margin: float = 0.0

    def __str__(self) -> str:
        left = self.greater if self.smaller is None else f"{self.greater} - {self.smaller}"
        return f"{left} > {self.margin:g}"

    def differences(self, values: Mapping[str, Sequence[float]]) -> list[float]:
        """The left side of the prediction, seed by seed."""
        if self.smaller is None:
            return list(values[self.greater])
        return [a - b for a, b in zip(values[self.greater], values[self.smaller], strict=True)]

    def verdict(self, values: Mapping[str, Sequence[float]]) -> Verdict:
        """Supported (refuted) if the whole interval is above (not above) the margin, else open."""
        found = interval(self.differences(values))
        if found.low > self.margin:
            return "supported"
        return "refuted" if found.high <= self.margin else "open"


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What a paper says about a task's question, in a form that can fail.

    Args:
        name: "<task>/<what is claimed>".
        statement: one sentence.
        source: paper with table, figure or section.
        predictions: all must hold for the claim to be supported.
        measure: the experiment.
        shrunk: what was made smaller than in the paper, and what that may break.
        finding: why it came out as it did, written after the run; kept with the record.
        seeds: how many by default.
    """

    name: str
    statement: str
    source: str
    predictions: tuple[Prediction, ...]
    measure: Measure = field(repr=False)
    shrunk: str
    finding: str = ""
    seeds: int = 5


@dataclass(frozen=True, kw_only=True)
class Record:
    """The outcome of a claim: every value, the verdict and what it depends on."""

    name: str
    statement: str
    source: str
    shrunk: str
    finding: str
    scale: str
    seeds: tuple[int, ...]
    values: Mapping[str, tuple[float, ...]]
    predictions: tuple[Mapping[str, Any], ...]
    verdict: Verdict
    seconds: float
    date: str
    environment: Mapping[str, Any]

    def write(self, folder: Path) -> Path:
        """Writes the record to `<folder>/<task>/<claim>.json` and returns the path."""
        path = folder / f"{self.name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, dataclasses.asdict(self))
        return path

    @classmethod
    def read(cls, path: Path) -> "Record":
        """The record in a file.

        Raises:
            ValueError: the file is not a record.
        """
        try:
            value = json.loads(path.read_text("utf-8"))
            lists = {"seeds": tuple(value["seeds"]), "predictions": tuple(value["predictions"])}
            return cls(**(value | lists | {"values": {k: tuple(v) for k, v in value["values"].items()}}))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path}: expected a claim's record, got {error!r}") from None


def race(
    task: str,
    arms: Mapping[str, Any],
    /,
    *,
    data: str | None = None,
    metric: str | None = None,
    seed_offset: int = 0,
    **options: Any,
) -> Measure:
    """The measure that fits every arm on the same split and reports a metric, turned so that more is better.

    Args:
        task: name of the task.
        arms: label -> method, or label -> (name of a method, settings).
        data: a default data set of the task.
        metric: by default the deciding one.
        seed_offset: added to every seed.
        options: of the task's data.
    """

    def measure(seed: int, scale: Scale) -> dict[str, float]:
        question = catalog.task(task)
        loaded = question.load(data, scale=scale, **options)
        metrics = question.metrics(loaded)
        chosen = next(m for m in metrics if metric in (None, m.name))
        train, test = question.split(loaded, seed + seed_offset)
        values = {}
        for label, arm in arms.items():
            made = question.method(arm[0], loaded, arm[1], scale) if isinstance(arm, tuple) else arm
            run = Run(seed=seed + seed_offset, scale=scale)
            model = question.fit(made, train, run)
            values[label] = chosen.oriented(
                question.score(question.predict(model, test, run), test)[chosen.name]
            )
        return values

    return measure


def imported(path: str) -> Measure:
    """The measure that "package.module:name" names, imported when it is run: claims are listed without."""

    def measure(seed: int, scale: Scale) -> Mapping[str, float]:
        return methods_.locate(path)(seed, scale)

    return measure


def claims(names: Sequence[str] = ()) -> dict[str, Claim]:
    """The claims on record by name; `names` picks claims, or all claims of a task.

    Raises:
        ValueError: a name is neither.
    """
    known = {claim.name: claim for path in catalog.CLAIMS.values() for claim in methods_.locate(path)}
    if not names:
        return known
    chosen: dict[str, Claim] = {}
    for name in names:
        found = {k: c for k, c in known.items() if name in (k, k.partition("/")[0], k.partition("/")[2])}
        if not found:
            near = difflib.get_close_matches(name, known, n=1)
            listed = [claim for claim in known if claim.startswith(f"{name.partition('/')[0]}/")] or known
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(listed)}"
            raise ValueError(f"there is no claim {name!r}; {hint}")
        chosen |= found
    return chosen


def claim(
    name: str | Claim,
    /,
    *,
    seeds: int | None = None,
    scale: Scale = "default",
    runs: str | Path = "runs",
    jobs: int | None = None,
    device: str = "cpu",
    precision: Precision = "fp32",
    time_limit: float | None = 3600.0,
    progress: bool = True,
) -> Record:
    """Measures the claim once per seed and judges it. Seeds that are already measured are not run again.

    Args:
        name: of a claim on record, such as "tabular/shrinkage"; or a Claim.
        seeds: how many; None for what the claim asks for.
        scale: how large.
        runs: folder of finished trials.
        jobs: seeds at the same time; None for as many as there are cores, and one on a GPU.
        device, precision: of the runs that the claim makes without choosing them.
        time_limit: seconds after which a seed is killed, or None.
        progress: show progress on standard error.

    Raises:
        ValueError: no claim has this name, or several have.
        RuntimeError: a seed could not be measured; the message says why.
    """
    chosen = [name] if isinstance(name, Claim) else list(claims([name]).values())
    if len(chosen) != 1:
        raise ValueError(f"expected the name of one claim, got {name!r}: {', '.join(c.name for c in chosen)}")
    asked = chosen[0]
    check_surroundings(device, precision)
    surroundings = {"device": device, "precision": precision}
    store = Store(Path(runs).resolve())
    experiment = Experiment(claim=asked.name)
    folder = store.keep_data(task, experiment)
    trials = [
        Trial(
            task=task.name,
            data=experiment.fingerprint(),
            name=asked.name,
            spec=methods_.spec(experiment),
            code=methods_.identity(experiment),
            seed=seed,
            budget=None,
            scale=scale,
            threads=1,
            **surroundings,
        )
        for seed in range(seeds or asked.seeds)
    ]
    results = {}
    with Display(asked.name, len(trials), enabled=progress) as display:
        finished = run_trials(
            task,
            trials,
            store,
            folder,
            jobs=jobs or (cores() if device == "cpu" else 1),
            limits=Limits(seconds=time_limit),
            progress=display.running,
        )
        for trial, result in finished:
            display.finished(trial, result)
            results[trial.seed] = result
    for seed, result in sorted(results.items()):
        if result.status != "ok":
            raise RuntimeError(f"{asked.name}, seed {seed}: {result.status}: {result.error}")
    ordered = [results[trial.seed] for trial in trials]
    values = {name: tuple(r.metrics[name] for r in ordered) for name in ordered[0].metrics}
    question = asked.name.partition("/")[0]
    libraries = catalog.task(question).libraries if question in catalog.TASKS else ()
    return Record(
        name=asked.name,
        statement=asked.statement,
        source=asked.source,
        shrunk=asked.shrunk,
        finding=asked.finding,
        scale=scale,
        seeds=tuple(trial.seed for trial in trials),
        values=values,
        predictions=tuple(_judged(prediction, values) for prediction in asked.predictions),
        verdict=_overall([prediction.verdict(values) for prediction in asked.predictions]),
        seconds=round(sum(r.cost.fit_cpu for r in ordered if r.cost), 2),
        date=datetime.date.today().isoformat(),
        environment=environment(libraries) | surroundings,
    )


def _judged(prediction: Prediction, values: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    found: Interval = interval(prediction.differences(values))
    bounds = {"low": found.low, "high": found.high} if found.low == found.low else {"low": None, "high": None}
    return {
        "prediction": str(prediction),
        "mean": found.mean,
        **bounds,
        "verdict": prediction.verdict(values),
    }


def _overall(verdicts: Sequence[Verdict]) -> Verdict:
    if "refuted" in verdicts:
        return "refuted"
    return "open" if "open" in verdicts else "supported"


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """A claim's measurement in the shape of a method (and, having no input, of its own data)."""

    claim: str

    @property
    def name(self) -> str:
        """The claim's name."""
        return self.claim

    def fingerprint(self) -> str:
        """A digest of the claim's name."""
        return hashlib.sha256(self.claim.encode()).hexdigest()

    def describe(self) -> Mapping[str, Any]:
        """Nothing more to know."""
        return {}


class _Claims(Task):
    """Lets claims run as trials: `fit` measures, the quantities are the metrics."""

    name = "claims"
    question = "does it do what the paper says?"
    default_data = ""
    methods: Mapping[str, Any] = {}  # type: ignore[misc]

    def load(self, source: Any = None, *, scale: Scale = "default", **options: Any) -> Experiment:
        return Experiment(claim=source)

    def save_data(self, data: Experiment, folder: Path) -> None:
        write_json(folder / "claim.json", {"claim": data.claim})

    def open_data(self, folder: Path) -> Experiment:
        return Experiment(**json.loads((folder / "claim.json").read_text("utf-8")))

    def metrics(self, data: Any) -> Sequence[Metric]:
        return ()

    def method(self, name: str, data: Any, settings: Mapping[str, Any], scale: Scale = "default") -> Any:
        return Experiment(claim=name)

    def split(self, data: Any, seed: int) -> tuple[Any, Any]:
        return data, data

    def fit(self, method: Experiment, train: Any, run: Run) -> Mapping[str, float]:
        with within(run):
            return claims([method.claim])[method.claim].measure(run.seed, run.scale)

    def predict(self, model: Any, test: Any, run: Run) -> Any:
        return model

    def score(self, outputs: Mapping[str, float], test: Any) -> Mapping[str, float]:
        return outputs

    def load_model(self, folder: Path) -> Any:
        raise NotImplementedError("a claim leaves no model")


task = _Claims()
