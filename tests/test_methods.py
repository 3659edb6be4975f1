"""What every method of every task must do; found through the catalog, a new one is tested at once."""

import copy
import dataclasses
from typing import Any

import numpy as np
import pytest

from assay import catalog
from assay.core import method as methods
from assay.core.run import Run

ALL = [
    (task, name)
    for task in catalog.TASKS
    for name in catalog.task(task).methods
    if catalog.task(task).available(name) is None
]
MEASURED = {"attention", "collectives"}
"""Their outputs are times beside the results, and no two runs take the same."""

_LOADED: dict[str, object] = {}
_FITTED: dict[tuple[str, str], object] = {}


def smoke(name):
    """The default data at smoke scale, its split, and the task."""
    if name not in _LOADED:
        task = catalog.task(name)
        data = task.load(scale="smoke")
        _LOADED[name] = (task, data, *task.split(data, 0))
    return _LOADED[name]


def fitted(task_name, method_name):
    """The task, a model fitted anew, its outputs, and what they are of."""
    task, data, train, test = smoke(task_name)
    run = Run(scale="smoke")
    method = task.method(method_name, data, {}, "smoke")
    model = task.fit(method, train, run)
    return task, model, task.predict(model, test, run), test


def fitted_once(task_name, method_name):
    """The same, from an earlier test if there was one."""
    if (task_name, method_name) not in _FITTED:
        _FITTED[task_name, method_name] = fitted(task_name, method_name)
    return _FITTED[task_name, method_name]


def equal(one: Any, two: Any) -> bool:
    """Whether two outputs are the same to the bit: arrays, or what holds them."""
    if dataclasses.is_dataclass(one):
        return all(equal(getattr(one, f.name), getattr(two, f.name)) for f in dataclasses.fields(one))
    if isinstance(one, (tuple, list)):
        return len(one) == len(two) and all(map(equal, one, two))
    return bool(np.array_equal(np.asarray(one), np.asarray(two), equal_nan=np.asarray(one).dtype.kind == "f"))


def beats_guessing(task_name, scores, outputs, test) -> bool:
    """Whether the scores are better than those of somebody who knows nothing of the data."""
    if task_name == "tabular":
        return scores["AUC"] > 0.7
    if task_name == "density":
        return scores["bits per dimension"] < 0.7
    if task_name == "images":
        return scores["accuracy"] > 0.2  # Of ten classes.
    if task_name == "image-text":
        return scores["R@1"] > 1.5 / len(test.questions[0].texts)
    if task_name == "control":
        uniform = np.full(outputs[0].shape, 1 / outputs.shape[2])
        worth = test.mdp.start @ test.mdp.under(uniform).values()
        return scores["regret"] < test.mdp.start @ test.best.v - worth
    if task_name == "attention":
        return scores["max error"] < 10  # Millionths.
    if task_name == "collectives":
        return scores["numeric error"] < 10 and scores["identical ranks"] == 1
    return True


@pytest.mark.parametrize(("task_name", "name"), ALL)
class TestMethod:
    def test_beats_guessing_on_the_default_data(self, task_name, name):
        task, _, outputs, test = fitted_once(task_name, name)
        scores = task.score(outputs, test)
        assert [metric.name for metric in task.metrics(test)] == list(scores)
        assert np.isfinite(list(scores.values())).all()
        assert beats_guessing(task_name, scores, outputs, test)

    def test_is_deterministic_per_seed_and_leaves_global_state_alone(self, task_name, name):
        _, _, one, _ = fitted_once(task_name, name)
        np.random.seed(1)  # noqa: NPY002
        state = np.random.get_state()[1].copy()  # noqa: NPY002
        torch_state = _torch_state()
        _, _, two, _ = fitted(task_name, name)
        assert np.array_equal(np.random.get_state()[1], state)  # noqa: NPY002
        assert np.array_equal(_torch_state(), torch_state)
        assert task_name in MEASURED or equal(one, two)

    def test_is_saved_and_loaded_to_the_same_predictions(self, task_name, name, tmp_path):
        task, model, outputs, test = fitted_once(task_name, name)
        (tmp_path / "model").mkdir()
        assert task.save_model(model, tmp_path / "model")
        again = task.predict(task.load_model(tmp_path / "model"), test, Run())
        assert equal(again, outputs) or (task_name in MEASURED and type(again) is type(outputs))

    def test_does_not_change_its_input(self, task_name, name):
        _, data, _, _ = smoke(task_name)
        fitted_once(task_name, name)
        task = catalog.task(task_name)
        assert data.fingerprint() == task.load(scale="smoke").fingerprint()

    def test_is_immutable_data_to_a_trial(self, task_name, name):
        task, data, train, _ = smoke(task_name)
        method = task.method(name, data, {}, "smoke")
        written = methods.spec(method)
        assert written is not None
        before = copy.deepcopy(methods.settings(method))
        if task_name in ("tabular", "control"):  # Elsewhere methods are frozen dataclasses.
            task.fit(method, train, Run(scale="smoke"))
        else:
            assert type(method).__dataclass_params__.frozen
        assert repr(methods.settings(method)) == repr(before)
        assert methods.spec(methods.build(written)) == written

    def test_unknown_setting_is_named(self, task_name, name):
        task, data, _, _ = smoke(task_name)
        with pytest.raises(ValueError, match="has no setting 'no_such_setting'"):
            task.method(name, data, {"no_such_setting": 1})


def _torch_state() -> np.ndarray:
    torch = pytest.importorskip("torch")
    return torch.get_rng_state().numpy()
