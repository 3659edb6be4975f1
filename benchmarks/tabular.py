"""Speed, memory and accuracy of the tabular methods beside the installed peers, at equal settings.

    python benchmarks/tabular.py                   speed and memory, a few minutes
    python benchmarks/tabular.py --full            all flights, a million synthetic rows
    python benchmarks/tabular.py --accuracy        quality on three data sets over several seeds
    python benchmarks/tabular.py --only fit memory

Times are CPU seconds of the process, all threads together. The methods take turns, so that whatever else the
machine does meets all of them. README.md says how to read the tables.
"""

import importlib.util
import multiprocessing
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tyro
from measuring.data import delays, education, flights, halves, synthetic
from measuring.methods import OURS, Arm, adaboosts, boosted, exact_baggings, exact_trees, forests
from measuring.turns import Verdicts, console, metric, predicted, show, spread, take_turns
from rich.table import Table

from assay.core.statistics import interval
from assay.tabular.contract import TabularData
from assay.tabular.task import task

Section = Literal["fit", "forest", "adaboost", "memory", "start"]


@dataclass
class Options:
    """What to measure.

    Args:
        only: sections; all if none is named.
        full: all flights and a million synthetic rows, instead of a part of them.
        accuracy: measure quality instead of time and memory.
        repeats: how often every method takes its turn.
        seeds: splits of the accuracy comparison.
        threads: of every method. Peers' threads spin while they wait, so on a busy machine only one
            thread gives CPU times that mean something.
    """

    only: tuple[Section, ...] = ()
    full: bool = False
    accuracy: bool = False
    repeats: int = 3
    seeds: int = 5
    threads: int = 1


def fit_section(options: Options, verdicts: Verdicts) -> None:
    """Gradient boosting: fit over LightGBM's and xgboost's, predict over LightGBM's."""
    every = task.load("flights")
    shapes: list[tuple[str, TabularData, dict[str, int]]] = [
        ("adult", task.load("adult"), {"depth": 6}),
        ("adult", task.load("adult"), {"leaves": 63}),
        ("flights", every, {"depth": 6}),
        ("synthetic", synthetic(1_000_000 if options.full else 100_000), {"leaves": 63}),
    ]
    if options.full:
        shapes += [("flights", every, {"depth": 8}), ("flights", every, {"leaves": 255})]
    for name, data, shape in shapes:
        arms = boosted(100, **shape)
        times = take_turns(arms, data, threads=options.threads, repeats=options.repeats)
        what = f"{name} {', '.join(f'{kind} {size}' for kind, size in shape.items())}"
        title = f"Gradient boosting, 100 trees, {what}, {len(data)} rows x {len(data.features.columns)}"
        reference = "LightGBM" if "LightGBM" in times else arms[0].name
        show(title, times, metric(data), reference)
        for method in ("XGBoost", "GBDT"):
            ours = times[f"{OURS} {method}"]
            for peer in ("LightGBM", "xgboost"):
                if peer in times:
                    verdicts.compare(f"fit, {method}, {what}, / {peer}", ours.fit, times[peer].fit, 0.40)
            if "LightGBM" in times:
                theirs = times["LightGBM"].predict
                verdicts.compare(f"predict, {method}, {what}, / LightGBM", ours.predict, theirs, 0.35)


def against_scikit_learn(
    title: str, arms: list[Arm], data: TabularData, target: float, options: Options, verdicts: Verdicts
) -> None:
    """One method of ours over scikit-learn's."""
    if len(arms) < 2:
        return
    times = take_turns(arms, data, threads=options.threads, repeats=options.repeats)
    ours, theirs = times.values()
    show(f"{title}, {len(data)} rows x {len(data.features.columns)}", times, metric(data), "scikit-learn")
    verdicts.compare(f"fit, {title}, / scikit-learn", ours.fit, theirs.fit, target)


def forest_shapes(options: Options) -> list[tuple[str, int, Callable[[], TabularData], float]]:
    """Titles, numbers of trees, what loads the data, and the target of the fit's ratio."""
    rows = 400_000 if options.full else 40_000
    return [
        ("forest, adult, two classes", 50, partial(task.load, "adult"), 0.20),
        ("forest, flights, two classes", 20, partial(flights, rows), 0.20),
        ("forest, flights, five classes", 20, partial(delays, 5, rows), 0.35),
        ("forest, adult's education, 16 classes", 20, education, 0.35),
        ("forest, flights, minutes", 20, partial(delays, None, rows), 0.20),
    ]


def forest_section(options: Options, verdicts: Verdicts) -> None:
    """Random forests of two classes, of more, and of numbers."""
    for title, trees, load, target in forest_shapes(options):
        against_scikit_learn(title, forests(trees), load(), target, options, verdicts)


def adaboost_section(options: Options, verdicts: Verdicts) -> None:
    """AdaBoost of stumps and of deeper trees."""
    if importlib.util.find_spec("sklearn") is None:
        return
    some = flights(400_000 if options.full else 40_000)
    for name, data in (("adult", task.load("adult")), ("flights", some)):
        for depth in (1, 3):
            title = f"AdaBoost, {name}, depth {depth}"
            against_scikit_learn(title, adaboosts(50, depth), data, 0.05, options, verdicts)


# -- memory and start ----------------------------------------------------------------------------------------


def peak_of_fit(arm: Arm, load: Callable[[], TabularData], threads: int) -> float:
    """MiB by which a fit raises the resident memory of this fresh process."""
    train, _ = halves(load())
    few = train.take(np.arange(500))
    arm.make(train.problem, threads).fit(few.features, few.target)
    model = arm.make(train.problem, threads)
    Path("/proc/self/clear_refs").write_text("5")  # The high-water mark starts anew.
    before = _status("VmRSS")
    model.fit(train.features, train.target)
    return (_status("VmHWM") - before) / 1024


def _status(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key + ":"))


def memory_section(options: Options, verdicts: Verdicts) -> None:
    """Peak memory above the input, each method in a process of its own."""
    if not Path("/proc/self/clear_refs").exists():
        console.print("Peak memory is measured on Linux only.")
        return
    boosting = "boosting, flights, 10 trees of depth 6"
    shapes = [(boosting, boosted(10, depth=6), partial(task.load, "flights"))]
    shapes += [(title, forests(trees), load) for title, trees, load, _ in forest_shapes(options)]
    exact = [(name, partial(task.load, name)) for name in ("adult", "california_housing")]
    for name, load in (*exact, ("flights 40,000", partial(flights, 40_000))):
        shapes.append((f"exact tree, {name}", exact_trees(), load))
        shapes.append((f"exact bagging, {name}", exact_baggings(10), load))
    sheet = Table(title="Peak memory above the input", title_justify="left")
    for heading in ("what", "method", "MiB"):
        sheet.add_column(heading, justify="right" if heading == "MiB" else "left")
    context = multiprocessing.get_context("spawn")
    for title, arms, load in shapes:
        peaks = {}
        for arm in arms:
            with ProcessPoolExecutor(1, mp_context=context) as process:
                peaks[arm.name] = process.submit(peak_of_fit, arm, load, options.threads).result()
            sheet.add_row(title, arm.name, f"{peaks[arm.name]:.1f}")
        peers = [peak for name, peak in peaks.items() if not name.startswith(OURS)]
        if peers:
            verdicts.add(f"memory, {title}, / least of the peers", peaks[arms[0].name] / min(peers), 1.10)
    console.print(sheet)


FIRST_FITS = {
    f"{OURS} XGBoost": "from assay.tabular.xgboost import XGBoostClassifier as M; m = M()",
    "LightGBM": "from lightgbm import LGBMClassifier as M; m = M(verbosity=-1, n_jobs=1)",
    "xgboost": "from xgboost import XGBClassifier as M; m = M(n_jobs=1)",
    "scikit-learn HGB": "from sklearn.ensemble import HistGradientBoostingClassifier as M; m = M()",
    "CatBoost": "from catboost import CatBoostClassifier as M; m = M(verbose=0, allow_writing_files=False)",
}
_SMALL = "; import numpy as np; X = np.random.default_rng(0).normal(size=(1000, 10)); m.fit(X, X[:, 0] > 0)"


def start_section(options: Options, verdicts: Verdicts) -> None:
    """A fresh interpreter, the import, and the first fit of a small table."""
    sheet = Table(title="Fresh process: import and fit 1,000 rows x 10, 100 trees", title_justify="left")
    for heading in ("method", "CPU s", "wall s"):
        sheet.add_column(heading, justify="left" if heading == "method" else "right")
    for name, code in FIRST_FITS.items():
        if importlib.util.find_spec(code.split()[1].partition(".")[0]) is None:
            continue
        cpu, wall = [], []
        for _ in range(options.repeats):
            before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            subprocess.run([sys.executable, "-c", code + _SMALL], check=True)
            wall.append(time.perf_counter() - start)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        sheet.add_row(name, spread(cpu), spread(wall))
        if name.startswith(OURS):
            verdicts.add("import and first fit, CPU seconds", statistics.median(cpu), 1.0)
    console.print(sheet)


# -- accuracy ------------------------------------------------------------------------------------------------


def accuracy(options: Options) -> None:
    """Test scores at equal settings over seeds, and the paired difference to the best peer."""
    rows = 400_000 if options.full else 60_000
    families: list[tuple[str, Callable[[], list[Arm]]]] = [
        ("gradient boosting, 100 trees of depth 6", lambda: boosted(100, depth=6)),
        ("random forest, 50 trees", lambda: forests(50)),
    ]
    sets = [task.load("adult"), task.load("california_housing"), flights(rows)]
    for title, arms_of in families:
        for data in sets:
            first = task.metrics(data)[0]
            scores: dict[str, list[float]] = {arm.name: [] for arm in arms_of()}
            for seed in range(options.seeds):
                train, test = halves(data, seed)
                for arm in arms_of():
                    model = arm.make(data.problem, options.threads).set_params(random_state=seed)
                    model.fit(train.features, train.target)
                    scores[arm.name].append(task.score(predicted(model, test), test)[first.name])
            _show_accuracy(f"{title}, {data.name}, {len(data)} rows", first, scores)


def _show_accuracy(title: str, first: Any, scores: Mapping[str, list[float]]) -> None:
    peers = {name: values for name, values in scores.items() if not name.startswith(OURS)}
    pick = max if first.better == "higher" else min
    best = pick(peers, key=lambda name: statistics.mean(peers[name]))
    relative = first.better == "lower"
    sheet = Table(title=title, title_justify="left")
    unit = "%" if relative else first.name
    for heading in ("method", first.name, f"minus {best}, {unit}", "95 % interval"):
        sheet.add_column(heading, justify="left" if heading == "method" else "right")
    for name, values in scores.items():
        scale = 100 / statistics.mean(peers[best]) if relative else 1.0
        found = interval([scale * (a - b) for a, b in zip(values, peers[best], strict=True)])
        between = f"[{found.low:+.4f}, {found.high:+.4f}]" if len(values) > 1 else "-"
        sheet.add_row(name, f"{statistics.mean(values):.4f}", f"{found.mean:+.4f}", between)
    console.print(sheet)


def main(options: Options) -> None:
    """Measures what the options ask for."""
    if options.accuracy:
        return accuracy(options)
    sections = {
        "fit": fit_section,
        "forest": forest_section,
        "adaboost": adaboost_section,
        "memory": memory_section,
        "start": start_section,
    }
    verdicts = Verdicts()
    for name in options.only or sections:
        sections[name](options, verdicts)
    return verdicts.show()


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
