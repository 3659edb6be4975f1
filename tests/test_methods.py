"""What every method of every task must do; found through the catalog, a new one is tested at once."""

import copy

import numpy as np
import pytest

from assay import catalog
from assay.core import method as methods
from assay.core.run import Run

ALL = [(task, name) for task in catalog.TASKS for name in catalog.task(task).methods]
_LOADED: dict[str, object] = {}


def smoke(name):
    """The default data at smoke scale, its split, and the task."""
    if name not in _LOADED:
        task = catalog.task(name)
        data = task.load(scale="smoke")
        _LOADED[name] = (task, data, *task.split(data, 0))
    return _LOADED[name]


def fitted(task_name, method_name, seed=0):
    task, data, train, test = smoke(task_name)
    run = Run(seed=seed, scale="smoke")
    method = task.method(method_name, data, {}, "smoke")
    model = task.fit(method, train, run)
    return task, model, task.predict(model, test, run), test


@pytest.mark.parametrize(("task_name", "name"), ALL)
class TestMethod:
    def test_beats_guessing_on_the_default_data(self, task_name, name):
        task, _, outputs, test = fitted(task_name, name)
        scores = task.score(outputs, test)
        assert [metric.name for metric in task.metrics(test)] == list(scores)
        assert np.isfinite(list(scores.values())).all()
        if task_name == "tabular":
            assert scores["AUC"] > 0.7
        if task_name == "density":
            assert scores["bits per dimension"] < 0.7
        if task_name == "control":
            uniform = np.full(outputs[0].shape, 1 / outputs.shape[2])
            worth = test.mdp.start @ test.mdp.under(uniform).values()
            assert scores["regret"] < test.mdp.start @ test.best.v - worth

    def test_is_deterministic_per_seed_and_leaves_global_state_alone(self, task_name, name):
        state = np.random.get_state()[1].copy()  # noqa: NPY002
        _, _, one, _ = fitted(task_name, name)
        assert np.array_equal(np.random.get_state()[1], state)  # noqa: NPY002
        np.random.seed(1)  # noqa: NPY002
        _, _, two, _ = fitted(task_name, name)
        assert np.array_equal(one, two)

    def test_is_saved_and_loaded_to_the_same_predictions(self, task_name, name, tmp_path):
        task, model, outputs, test = fitted(task_name, name)
        (tmp_path / "model").mkdir()
        assert task.save_model(model, tmp_path / "model")
        again = task.load_model(tmp_path / "model")
        assert np.array_equal(task.predict(again, test, Run()), outputs)

    def test_does_not_change_its_input(self, task_name, name):
        _, data, _, _ = smoke(task_name)
        before = data.fingerprint()
        fitted(task_name, name)
        assert data.fingerprint() == before

    def test_is_immutable_data_to_a_trial(self, task_name, name):
        task, data, train, _ = smoke(task_name)
        method = task.method(name, data, {}, "smoke")
        written = methods.spec(method)
        assert written is not None
        before = copy.deepcopy(methods.settings(method))
        task.fit(method, train, Run(scale="smoke"))
        assert repr(methods.settings(method)) == repr(before)
        assert methods.spec(methods.build(written)) == written

    def test_unknown_setting_is_named(self, task_name, name):
        task, data, _, _ = smoke(task_name)
        with pytest.raises(ValueError, match="has no setting 'no_such_setting'"):
            task.method(name, data, {"no_such_setting": 1})
