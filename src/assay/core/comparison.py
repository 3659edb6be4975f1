"""compare: the same data, the same budget, paired seeds, every method in trials of its own."""

import contextlib
import dataclasses
import difflib
import importlib.metadata
import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from assay import catalog
from assay.core import method as methods_
from assay.core.board import Board, Row
from assay.core.budget import Budget
from assay.core.environment import cores, environment, physical_memory
from assay.core.progress import Display
from assay.core.run import Precision, Run, Scale, check_surroundings, within
from assay.core.scheduler import Limits, run_trials
from assay.core.task import Task
from assay.core.trial import Result, Store, Trial
from assay.core.waiting import Waiting


@dataclass(frozen=True)
class Entrant:
    """A method under its name on the board."""

    name: str
    method: Any
    peer: bool = False


def compare(
    task: str | Task,
    /,
    data: Any = None,
    *,
    methods: Sequence[Any] | Mapping[str, Any] | None = None,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    seeds: int | Sequence[int] = 5,
    budget: str | Budget | None = None,
    peers: bool = False,
    jobs: int | None = None,
    on: Literal["ray"] | None = None,
    runs: str | Path = "runs",
    scale: Scale = "default",
    threads: int = 1,
    device: str = "cpu",
    precision: Precision = "fp32",
    time_limit: float | None = 3600.0,
    memory_limit: int | None = None,
    progress: bool = True,
    **options: Any,
) -> Board:
    """The board of all methods that answer `task`, or of those named, on `data`.

    Args:
        task: name of the task, or a Task.
        data: a path, an object in memory, a default data set's name; None for the task's default.
        methods: names, objects with fit and predict, or classes of such; or a mapping from names to objects.
            None for every method of the task.
        settings: hyper-parameters that differ from the defaults, {method: {name: value}}.
        seeds: how many (0, 1, ...), or which. One seed fixes split, start and order for every method.
        budget: the same for all, such as "60s" or "1000steps"; None for what each method asks for.
        peers: add the installed peers.
        jobs: trials at the same time; None for as many as `threads` leaves room for on this machine, and one
            on a GPU or where the task compares times.
        on: "ray" hands the trials to the Ray cluster of `ray.init()`.
        runs: folder of finished trials; what is there is not run again.
        scale: of a default data set and of the methods' own sizes.
        threads: CPU threads of each fit.
        device: "cpu", "cuda" or "cuda:1"; methods that do not use one stay on the CPU.
        precision: "fp32", "bf16" or "fp16", for methods that train by gradients.
        time_limit: seconds after which a trial is killed, or None.
        memory_limit: bytes after which a trial is killed; None for this machine's memory divided among the
            jobs.
        progress: show progress on standard error once it takes over two seconds.
        options: of the task, such as target="income".

    Raises:
        ValueError: an argument names nothing that exists, or data break the task's contract.
    """
    check_surroundings(device, precision)
    task = catalog.task(task) if isinstance(task, str) else task
    _check_options(task, options)

    def waiting(words: str) -> contextlib.AbstractContextManager[Any]:
        return Waiting(f"{task.name}: {words}") if progress else contextlib.nullcontext()

    with within(Run(device=device, precision=precision)), waiting("reading the data"):
        loaded = task.load(data, scale=scale, **options)
    entrants = _entrants(task, loaded, methods, settings or {}, peers, scale)
    chosen = _seeds(seeds)
    limit = Budget.parse(budget) if budget is not None else None
    jobs = jobs or (1 if task.alone or device != "cpu" else max(1, cores() // threads))
    limits = Limits(seconds=time_limit, memory=memory_limit or int(0.9 * physical_memory()) // jobs)
    store = Store(Path(runs).resolve())
    live_data = getattr(loaded, "live", False)
    if live_data and on == "ray":
        raise ValueError(f"{loaded.name} exists in this process only, and cannot be sent to Ray")
    with waiting("keeping the data for the trials"):
        kept: Any = loaded if live_data else store.keep_data(task, loaded)
    trials = {}
    for seed in chosen:  # Seeds outside, methods inside: what is finished when it is cut off is paired.
        for entrant in entrants:
            trial = Trial(
                task=task.name,
                data=loaded.fingerprint(),
                name=entrant.name,
                spec=methods_.spec(entrant.method),
                code=methods_.identity(entrant.method),
                seed=seed,
                budget=str(limit) if limit else None,
                scale=scale,
                threads=threads,
                device=device,
                precision=precision,
            )
            trials[trial] = (entrant, seed)
    live = {trial.name: entrant.method for trial, (entrant, _) in trials.items() if trial.spec is None}
    results: dict[str, dict[int, Result]] = {entrant.name: {} for entrant in entrants}
    with Display(f"{task.name}: {loaded.name}", len(trials), enabled=progress) as display:
        finished: Iterator[tuple[Trial, Result]]
        if on == "ray":
            from assay.core.on_ray import run_on_ray

            finished = run_on_ray(task, list(trials), store, kept, limits=limits, live=live)
        elif on is None:
            finished = run_trials(
                task,
                list(trials),
                store,
                kept,
                jobs=jobs,
                limits=limits,
                preload=_modules(entrants),
                live=live,
                progress=display.running,
            )
        else:
            raise ValueError(f"on must be None or 'ray', got {on!r}")
        for trial, result in finished:
            entrant, seed = trials[trial]
            results[entrant.name][seed] = result
            display.finished(trial, result)
    by_name = {(entrant.name, seed): trial for trial, (entrant, seed) in trials.items()}
    by_entrant = {entrant.name: entrant for entrant in entrants}

    def open_model(name: str, seed: int) -> Any:
        saved = store.path(by_name[name, seed]) / "model"
        if saved.is_dir():
            return task.load_model(saved)
        train, _ = task.split(loaded, seed)  # It could not be saved: fit it again, as the trial did.
        surroundings = {"threads": threads, "device": device, "precision": precision}
        run = Run(seed=seed, budget=limit, scale=scale, **surroundings)  # type: ignore[arg-type]
        return task.fit(by_entrant[name].method, train, run)

    rows = tuple(
        Row(e.name, e.peer, _shown(e.method), {s: results[e.name][s] for s in chosen if s in results[e.name]})
        for e in entrants
    )
    return Board(
        task=task.name,
        question=task.question,
        data={"name": loaded.name, "fingerprint": loaded.fingerprint(), **loaded.describe()},
        metrics=tuple(task.metrics(loaded)),
        rows=rows,
        seeds=chosen,
        budget=str(limit) if limit else None,
        scale=scale,
        threads=threads,
        curve_axis=task.curve_axis(),
        environment={
            **environment({*task.libraries, *_libraries(entrants)}),
            "device": device,
            "precision": precision,
        },
        open_model=open_model,
        draw=task.figures,
    )


def installed_methods(task: Task) -> dict[str, Any]:
    """Methods that installed packages add to `task` by the entry-point group `assay.methods`.

    An entry point is called "<task>.<method>" and points at a class with fit and predict.

    Raises:
        ValueError: what an entry point names cannot be imported.
    """
    found = {}
    for point in importlib.metadata.entry_points(group="assay.methods"):
        owner, _, name = point.name.partition(".")
        if owner == task.name and name:
            try:
                found[name] = point.load()
            except Exception as error:
                package = point.dist.name if point.dist is not None else point.module
                message = f"the package {package} registers the method {point.name!r}, which cannot be loaded"
                raise ValueError(f"{message}: {error}") from error
    return found


def _entrants(
    task: Task,
    data: Any,
    methods: Sequence[Any] | Mapping[str, Any] | None,
    settings: Mapping[str, Mapping[str, Any]],
    peers: bool,
    scale: Scale,
) -> list[Entrant]:
    external = installed_methods(task)
    if methods is None:
        own = (name for name in task.methods if task.answers(name, data) is None)
        chosen: list[tuple[str | None, Any]] = [(None, name) for name in (*own, *external)]
    elif isinstance(methods, Mapping):
        chosen = list(methods.items())
    else:
        chosen = [(None, item) for item in methods]
    if peers:
        named = {item for _, item in chosen if isinstance(item, str)}
        chosen += [(None, p) for p in task.peers if p not in named and task.available(p) is None]
    entrants: list[Entrant] = []
    for label, item in chosen:
        if isinstance(item, str):
            entrants.append(named_entrant(task, data, label or item, item, settings, external, scale))
        else:
            name = label or getattr(item, "__name__", type(item).__name__)
            method = task.accept(item, data)
            if settings.get(name):
                method = _changed(method, name, settings[name])
            entrants.append(Entrant(name, method))
    if not entrants:
        raise ValueError("there is nothing to compare: no method was given")
    names = [entrant.name for entrant in entrants]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"two methods are called {twice!r}; give a mapping from names to methods")
    for name in settings:
        if name not in names:
            raise ValueError(f"settings name {name!r}, which is not compared{_hint(name, names)}")
    return entrants


def named_entrant(
    task: Task,
    data: Any,
    label: str,
    name: str,
    settings: Mapping[str, Mapping[str, Any]],
    external: Mapping[str, Any],
    scale: Scale,
) -> Entrant:
    """The method that `name` names in `task` or in `external`, with the settings given for `label`.

    Raises:
        ValueError: there is none, a package is missing, or a setting does not exist.
    """
    known = [*task.methods, *task.peers, *external]
    name = name if name in known else name.replace("_", "-")
    if name not in known:
        hint = _hint(name, known) or f"; it has {', '.join(known)}"
        raise ValueError(f"{task.name} has no method {name!r}{hint}")
    if missing := task.available(name):
        raise ValueError(f"{name} needs {missing}, which is not installed")
    label = name if label.replace("_", "-") == name else label
    wanted = settings.get(label, {})
    if name in external:
        method = task.accept(external[name], data)
        return Entrant(label, _changed(method, label, wanted) if wanted else method)
    return Entrant(label, task.method(name, data, wanted, scale), peer=name in task.peers)


def _changed(method: Any, name: str, wanted: Mapping[str, Any]) -> Any:
    """`method` with other hyper-parameters; the original stays as it is.

    Raises:
        ValueError: the method has no such hyper-parameter.
    """
    known = methods_.settings(method)
    for key in wanted:
        if key not in known:
            hint = _hint(key, known) or f"; it has {', '.join(sorted(known)) or 'none'}"
            raise ValueError(f"{name} has no setting {key!r}{hint}")
    if dataclasses.is_dataclass(method) and not isinstance(method, type):
        return dataclasses.replace(method, **wanted)
    return type(method)(**{**known, **wanted})


def _hint(name: str, known: Sequence[str] | Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _check_options(task: Task, options: Mapping[str, Any]) -> None:
    """Raises a ValueError that names an option which the task's data does not have."""
    parameters = inspect.signature(task.load).parameters
    known = [name for name, p in parameters.items() if p.kind is p.KEYWORD_ONLY and name != "scale"]
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return
    for name in options:
        if name not in known:
            asked = [*known, *inspect.signature(compare).parameters]
            hint = _hint(name, asked) or f"; it has {', '.join(known) or 'none'}"
            raise ValueError(f"{task.name} has no option {name!r}{hint}")


def _seeds(seeds: int | Sequence[int]) -> tuple[int, ...]:
    chosen = tuple(range(seeds)) if isinstance(seeds, int) else tuple(seeds)
    if not chosen or len(set(chosen)) < len(chosen) or min(chosen) < 0:
        raise ValueError(f"expected a positive number of seeds, or different seeds from 0 up, got {seeds!r}")
    return chosen


def _modules(entrants: Sequence[Entrant]) -> list[str]:
    modules = {type(e.method).__module__: None for e in entrants}
    for entrant in entrants:
        modules |= dict.fromkeys(getattr(type(entrant.method), "imports", ()))
    return [name for name in modules if name != "__main__"]


def _libraries(entrants: Sequence[Entrant]) -> set[str]:
    return {library for e in entrants for library in getattr(type(e.method), "libraries", ())}


def _shown(method: Any) -> dict[str, Any]:
    """Hyper-parameters as the report shows them: plain values as they are, anything else by its repr."""

    def shown(value: Any) -> Any:
        if isinstance(value, float) and value != value:
            return "nan"
        return value if value is None or isinstance(value, (bool, int, float, str)) else repr(value)

    return {name: shown(value) for name, value in methods_.settings(method).items()}
