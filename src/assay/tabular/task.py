"""The tabular question: predict one column of a table from the others.

The data contract: a table with a named target; features numeric, boolean, category or date; missing values
anywhere but in the target; optionally a column of weights, of groups that must not be torn apart, or of time.
A target of classes is predicted as probabilities, a target of numbers as a number.
"""

import copy
import importlib.util
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from assay.core.method import locate
from assay.core.method import settings as settings_of
from assay.core.run import Run, Scale
from assay.core.task import Metric, Task, configured
from assay.data import datasets
from assay.data.table import Kind, Table
from assay.tabular import metrics
from assay.tabular.contract import Problem, TabularData, read_contract
from assay.tabular.estimator import Estimator

_TEST_SHARE = 0.25
_SMOKE_ROWS = 2000
_SMOKE_TREES = 10
_CURVE_POINTS = 30


class Tabular(Task):
    """Predict a column of a table."""

    name = "tabular"
    question = "Which method predicts this column of a table best?"
    default_data = "adult"
    methods: ClassVar[Mapping[str, str]] = {
        "cart": "assay.tabular.cart:CART",
        "bagging": "assay.tabular.bagging:Bagging",
        "random-forest": "assay.tabular.random_forest:RandomForest",
        "adaboost": "assay.tabular.adaboost:AdaBoost",
        "gbdt": "assay.tabular.gbdt:GBDT",
        "xgboost": "assay.tabular.xgboost:XGBoost",
        "stacking": "assay.tabular.stacking:Stacking",
    }
    """Name -> where the classes are, without their ending "Classifier" or "Regressor"."""
    peers: ClassVar[Mapping[str, str]] = {
        "sklearn-cart": "assay.tabular.peers:SklearnCART",
        "sklearn-bagging": "assay.tabular.peers:SklearnBagging",
        "sklearn-random-forest": "assay.tabular.peers:SklearnRandomForest",
        "sklearn-adaboost": "assay.tabular.peers:SklearnAdaBoost",
        "sklearn-gbdt": "assay.tabular.peers:SklearnGBDT",
        "sklearn-hist-gbdt": "assay.tabular.peers:SklearnHistGBDT",
        "dmlc-xgboost": "assay.tabular.peers:DMLCXGBoost",
        "lightgbm": "assay.tabular.peers:LightGBM",
        "catboost": "assay.tabular.peers:CatBoost",
    }

    def load(
        self,
        source: Any = None,
        *,
        scale: Scale = "default",
        target: str | None = None,
        weight: str | None = None,
        group: str | None = None,
        time: str | None = None,
        drop: Sequence[str] = (),
        kinds: Mapping[str, Kind] | None = None,
        problem: Problem | None = None,
    ) -> TabularData:
        """The data of a file, a frame, or a default data set, as features and target.

        Args:
            source: a path, anything `Table.of` takes, or the name of a default data set.
            scale: "smoke" takes 2,000 rows of a default data set.
            target: the column to predict; needed unless the data set names one.
            weight: a column of row weights, not negative.
            group: a column whose equal values stay on one side of the split.
            time: a column by which the split is made: the test part is the latest.
            drop: columns to leave out.
            kinds: corrections of inferred kinds, such as zip=category.
            problem: "classification" or "regression" where the target's values do not tell.

        Raises:
            ContractError: the table breaks the contract; the message names row and column.
        """
        source = self.default_data if source is None else source
        if isinstance(source, str) and source in datasets.DATASETS:
            entry = datasets.DATASETS[source]
            table, target = entry.load(), target or entry.target
            drop = (*drop, *(name for name in entry.other_targets if name != target))
            if scale == "smoke" and table.num_rows > _SMOKE_ROWS:
                chosen = np.random.default_rng(0).choice(table.num_rows, _SMOKE_ROWS, replace=False)
                table = table.take(np.sort(chosen))
        else:
            table = Table.of(source, kinds=kinds)
            kinds = None
        if kinds:
            table = Table.of(table, kinds=kinds)
        return read_contract(
            table, target=target, weight=weight, group=group, time=time, drop=drop, problem=problem
        )

    def save_data(self, data: TabularData, folder: Path) -> None:
        """Writes the data into an empty folder."""
        data.save(folder)

    def open_data(self, folder: Path) -> TabularData:
        """The data that `save_data` wrote."""
        return TabularData.open(folder)

    def metrics(self, data: TabularData) -> Sequence[Metric]:
        """AUC first for classes, RMSE first for numbers."""
        if data.problem == "regression":
            return (Metric("RMSE", "lower"), Metric("MAE", "lower"), Metric("R2", "higher"))
        return (
            Metric("AUC", "higher"),
            Metric("log-loss", "lower", "nats"),
            Metric("accuracy", "higher"),
            Metric("balanced accuracy", "higher"),
            Metric("calibration error", "lower"),
        )

    def method(
        self, name: str, data: TabularData, settings: Mapping[str, Any], scale: Scale = "default"
    ) -> Any:
        """The classifier or regressor called `name`, as the data's target asks."""
        ending = "Classifier" if data.problem == "classification" else "Regressor"
        cls = locate({**self.methods, **self.peers}[name] + ending)
        trees = settings_of(cls()).get("n_estimators", _SMOKE_TREES)
        sized = {"n_estimators": min(_SMOKE_TREES, trees)} if scale == "smoke" else {}
        return configured(cls, name, settings, sized)

    def accept(self, method: Any, data: TabularData) -> Any:
        """A user's own estimator: anything with scikit-learn's fit, predict and get_params."""
        method = super().accept(method, data)
        if not callable(getattr(method, "predict", None)):
            raise TypeError(f"expected an estimator with fit(X, y) and predict(X), got {method!r}")
        return method

    def available(self, name: str) -> str | None:
        """Which package a peer lacks."""
        if name not in self.peers:
            return None
        modules = locate(self.peers[name] + "Classifier").imports
        packages = [module.partition(".")[0] for module in modules]
        missing = [package for package in packages if importlib.util.find_spec(package) is None]
        return missing[0] if missing else None

    def split(self, data: TabularData, seed: int) -> tuple[TabularData, TabularData]:
        """Three quarters to learn from and one to be tested on; by time, by group, or stratified by class."""
        rng = np.random.default_rng([seed, 0])
        test = np.zeros(len(data), bool)
        if data.time is not None:
            latest = np.argsort(data.time, kind="stable")[-_num_test(len(data)) :]
            test[latest] = True
        elif data.group is not None:
            groups = rng.permutation(np.unique(data.group))
            test[np.isin(data.group, groups[: _num_test(len(groups))])] = True
        elif data.problem == "classification":
            for code in range(len(data.classes)):
                rows = rng.permutation(np.flatnonzero(data.target == code))
                test[rows[: _num_test(len(rows))]] = True
        else:
            test[rng.permutation(len(data))[: _num_test(len(data))]] = True
        return data.take(np.flatnonzero(~test)), data.take(np.flatnonzero(test))

    def fit(self, method: Any, train: TabularData, run: Run) -> Any:
        """A fitted copy of the estimator, seeded by the run, within the run's budget."""
        model = _seeded(copy.deepcopy(method), run)
        budget = run.budget
        if budget is not None and budget.unit not in ("seconds", "steps"):
            raise ValueError(f"a tabular budget is in seconds or steps (rounds, trees), got {budget}")
        options: dict[str, Any] = {} if train.weight is None else {"sample_weight": train.weight}
        if "monitor" in inspect.signature(model.fit).parameters:
            options["monitor"] = _monitor(model, run)
        elif budget is not None and budget.unit == "steps" and "n_estimators" in settings_of(model):
            model.set_params(n_estimators=int(budget.amount))
        model.fit(_inputs(model, train), train.labels, **options)
        if budget is not None and budget.unit == "seconds" and "monitor" not in options and run.spent() >= 1:
            raise TimeoutError(f"the fit used up its {budget} and cannot be stopped between rounds")
        return model

    def predict(self, model: Any, test: TabularData, run: Run) -> NDArray[np.float64]:
        """Probabilities of shape (rows, classes), or numbers of shape (rows,)."""
        X = _inputs(model, test)
        if test.problem == "regression":
            return np.asarray(model.predict(X), np.float64).reshape(len(test))
        if callable(getattr(model, "predict_proba", None)):
            return _aligned(np.asarray(model.predict_proba(X), np.float64), model.classes_, test)
        labels = np.asarray(model.predict(X))
        return (labels[:, None] == test.classes[None, :]).astype(np.float64)

    def score(self, outputs: NDArray[np.float64], test: TabularData) -> Mapping[str, float]:
        """Every metric of `metrics`, by the definitions in `assay.tabular.metrics`."""
        if test.problem == "regression":
            return {
                "RMSE": metrics.rmse(outputs, test.target, test.weight),
                "MAE": metrics.mean_absolute_error(outputs, test.target, test.weight),
                "R2": metrics.r2(outputs, test.target, test.weight),
            }
        return {
            "AUC": metrics.mean_auc(outputs, test.target, test.weight),
            "log-loss": metrics.log_loss(outputs, test.target, test.weight),
            "accuracy": metrics.accuracy(outputs, test.target, test.weight),
            "balanced accuracy": metrics.balanced_accuracy(outputs, test.target, test.weight),
            "calibration error": metrics.calibration_error(outputs, test.target, test.weight),
        }

    def curve(self, model: Any, test: TabularData) -> Sequence[tuple[float, float]]:
        """The deciding metric after each of about thirty rounds, for models that can predict by stages."""
        deciding = self.metrics(test)[0].name
        points = []
        stages = list(enumerate(_stages(model, test), start=1))
        wanted = set(np.unique(np.geomspace(1, max(len(stages), 1), _CURVE_POINTS).round().astype(int)))
        for round_, outputs in stages:
            if round_ in wanted:
                points.append((round_, self.score(outputs, test)[deciding]))
        return points

    def save_model(self, model: Any, folder: Path) -> bool:
        """Writes assay's own models, and others that have a `save` of their own."""
        save = getattr(model, "save", None)
        if not callable(save):
            return False
        save(folder)
        return True

    def load_model(self, folder: Path) -> Any:
        """The model that `save_model` wrote."""
        return Estimator.load(folder)


def _num_test(count: int) -> int:
    """A quarter, but at least one and never all."""
    return min(max(1, round(_TEST_SHARE * count)), count - 1)


def _inputs(model: Any, data: TabularData) -> Any:
    """Assay's estimators take the table; anybody else's gets a pandas frame."""
    return data.features if isinstance(model, Estimator) else data.features.to_pandas()


def _seeded(model: Any, run: Run) -> Any:
    """Sets seeds that were left open, and threads, also of nested estimators."""
    if not callable(getattr(model, "set_params", None)):
        return model
    open_ = {}
    for name, value in model.get_params(deep=True).items():
        last = name.rpartition("__")[2]
        if last == "random_state" and value is None:
            open_[name] = run.seed
        elif last == "n_jobs" and value is None:
            open_[name] = run.threads
    return model.set_params(**open_)


def _monitor(model: Any, run: Run) -> Callable[[int, Any], bool]:
    rounds = settings_of(model).get("n_estimators")
    if run.budget is not None and run.budget.unit == "steps" and rounds is not None:
        rounds = int(run.budget.amount)
        model.set_params(n_estimators=rounds)

    def monitor(done: int, estimator: Any) -> bool:
        run.progress(done / rounds if rounds else 0.0, f"round {done}")
        return run.spent(steps=done) >= 1

    return monitor


def _aligned(probabilities: NDArray[np.float64], classes: Any, test: TabularData) -> NDArray[np.float64]:
    """Columns in the order of the data's classes; a class the model never saw gets probability zero."""
    outputs = np.zeros((len(test), len(test.classes)))
    position = {label: i for i, label in enumerate(test.classes.tolist())}
    for column, label in enumerate(np.asarray(classes).tolist()):
        outputs[:, position[label]] = probabilities[:, column]
    return outputs


def _stages(model: Any, test: TabularData) -> Iterator[NDArray[np.float64]]:
    X = _inputs(model, test)
    if test.problem == "regression":
        if callable(getattr(model, "staged_predict", None)):
            yield from model.staged_predict(X)
    elif callable(getattr(model, "staged_predict_proba", None)):
        for probabilities in model.staged_predict_proba(X):
            yield _aligned(probabilities, model.classes_, test)


task = Tabular()
