"""What comes before and after growing trees: building the binned data set, and predicting, beside LightGBM's.

    python benchmarks/binning_and_prediction.py

Times are CPU seconds, the least of a few turns, on one thread. The ratios that have a target come last.
"""

import importlib.util
import time
from collections.abc import Callable

import numpy as np
from measuring.data import prepared, synthetic
from measuring.turns import Verdicts, console
from rich.table import Table as Sheet

from assay.tabular.bins import Bins
from assay.tabular.task import task
from assay.tabular.xgboost import XGBoostClassifier

TURNS = 5
ROUNDS = 100


def cost(*works: Callable[[], object]) -> list[float]:
    """The least CPU seconds of each of the works, which take turns."""
    least = [np.inf] * len(works)
    for _ in range(TURNS):
        for index, work in enumerate(works):
            start = time.process_time()
            work()
            least[index] = min(least[index], time.process_time() - start)
    return least


def main() -> None:
    """Prints a table, then the ratios."""
    if importlib.util.find_spec("lightgbm") is None:
        console.print("LightGBM is not installed: there is nothing to compare with.")
        return
    import lightgbm

    sheet, verdicts = Sheet(title="CPU seconds"), Verdicts()
    for heading in ("data", "rows x columns", "step", "assay", "LightGBM"):
        sheet.add_column(heading)
    quiet = {"verbose": -1, "num_threads": 1, "max_bin": 255}
    for data in (task.load("adult"), task.load("flights"), synthetic(300_000)):
        data = prepared(data)
        table, matrix = data.features, data.features.to_numpy()
        categories = [i for i, column in enumerate(table.columns) if column.kind == "category"]
        classes = np.unique(data.target, return_inverse=True)[1]

        def dataset(matrix=matrix, classes=classes, categories=categories) -> lightgbm.Dataset:
            return lightgbm.Dataset(matrix, classes, params=quiet, categorical_feature=categories).construct()

        model = XGBoostClassifier(n_estimators=ROUNDS, learning_rate=0.1).fit(table, data.target)
        booster = lightgbm.train(
            {"objective": "binary", "learning_rate": 0.1, "max_depth": 6, "num_leaves": 64, **quiet},
            dataset(),
            ROUNDS,
        )
        row = table.take(np.arange(1))
        shape = f"{table.num_rows} x {len(table.columns)}"
        for step, ours, theirs in (
            ("build the data set", lambda: Bins.fit(table).encode(table), dataset),  # noqa: B023, used at once
            ("predict", lambda: model.predict_proba(table), lambda: booster.predict(matrix)),  # noqa: B023
            ("predict one row", lambda: model.predict_proba(row), lambda: booster.predict(matrix[:1])),  # noqa: B023
        ):
            figures = cost(ours, theirs)
            sheet.add_row(table.name, shape, step, *(f"{seconds:.4f}" for seconds in figures))
            if step == "predict":
                verdicts.add(f"predict, {table.name}, / LightGBM", figures[0] / figures[1], 0.35)
    console.print(sheet)
    verdicts.show()


if __name__ == "__main__":
    main()
