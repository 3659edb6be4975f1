import pytest

from assay import catalog
from assay.core.claim import Claim
from assay.core.method import locate
from assay.core.task import Task


@pytest.mark.parametrize("name", catalog.TASKS)
def test_every_name_leads_to_the_task_of_that_name(name):
    task = catalog.task(name)
    assert isinstance(task, Task)
    assert task.name == name
    assert task is locate(catalog.TASKS[name])
    assert task.methods


@pytest.mark.parametrize("name", catalog.CLAIMS)
def test_claims_belong_to_a_task(name):
    assert name in catalog.TASKS
    claims = list(locate(catalog.CLAIMS[name]))
    assert claims
    assert all(isinstance(claim, Claim) for claim in claims)


def test_underscores_are_hyphens(monkeypatch):
    monkeypatch.setattr(catalog, "TASKS", {"two-words": "toy_task:task"})
    assert catalog.task("two_words") is catalog.task("two-words") is locate("toy_task:task")


@pytest.mark.parametrize(("name", "near"), [("tabluar", "tabular"), ("densty", "density")])
def test_a_misspelt_task_has_a_hint(name, near):
    with pytest.raises(ValueError, match=rf"^there is no task '{name}'; did you mean '{near}'\?$"):
        catalog.task(name)


def test_an_unlikely_task_has_none_and_all_are_listed():
    with pytest.raises(ValueError, match=r"^there is no task 'xyzzy'; there are ") as caught:
        catalog.task("xyzzy")
    assert str(caught.value).endswith(", ".join(catalog.TASKS))
