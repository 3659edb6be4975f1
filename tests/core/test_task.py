from dataclasses import dataclass

import pytest

from assay import catalog
from assay.core.method import locate, settings
from assay.core.task import Metric, configured


def test_more_is_better_once_a_metric_is_oriented():
    assert Metric("AUC", "higher").oriented(0.7) == 0.7
    assert Metric("RMSE", "lower").oriented(0.7) == -0.7


@dataclass(frozen=True, kw_only=True)
class Sized:
    steps: int = 100
    width: int = 8


def test_settings_come_before_what_a_scale_says_and_that_before_defaults():
    assert configured(Sized, "sized", {}) == Sized()
    assert configured(Sized, "sized", {}, {"steps": 3, "unknown here": 1}) == Sized(steps=3)
    assert configured(Sized, "sized", {"steps": 5}, {"steps": 3, "width": 2}) == Sized(steps=5, width=2)
    with pytest.raises(ValueError, match="sized has no setting 'step'; it has steps, width"):
        configured(Sized, "sized", {"step": 5}, {"steps": 3})


@pytest.mark.parametrize("name", catalog.TASKS)
def test_what_a_scale_changes_is_a_setting_of_some_method(name):
    task = catalog.task(name)
    known = {
        setting
        for path in (task.methods.values() if task.sizes else ())
        for setting in settings(locate(path)())
    }
    assert {setting for sized in task.sizes.values() for setting in sized} <= known
