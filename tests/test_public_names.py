"""What `from assay.WING import NAME` finds: every method, and nothing that is not there."""

import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import assay
from assay import catalog
from assay.core.method import locate

SOURCE = Path(assay.__file__).parent
PACKAGES = ["assay", *(f"assay.{stub.parent.name}" for stub in sorted(SOURCE.glob("*/__init__.pyi")))]


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_is_there_and_is_said_to_be(package):
    module = importlib.import_module(package)
    assert module.__all__
    for name in module.__all__:
        assert getattr(module, name) is not None
        assert name in dir(module)


@pytest.mark.parametrize("package", PACKAGES)
def test_no_public_name_hides_a_module(package):
    module = importlib.import_module(package)
    assert module.__file__
    files = {path.stem for path in Path(module.__file__).parent.glob("*.py")}
    assert files.isdisjoint(module.__all__)


@pytest.mark.parametrize("name", catalog.TASKS)
def test_a_wing_gives_all_its_methods(name):
    wing = importlib.import_module(catalog.TASKS[name].partition(".task:")[0])
    for path in catalog.task(name).methods.values():
        method = path.partition(":")[2]
        module = importlib.import_module(path.partition(":")[0])
        # In `tabular` the problem decides on the ending.
        given = [n for n in wing.__all__ if n in (method, f"{method}Classifier", f"{method}Regressor")]
        assert given, path
        assert all(getattr(wing, n) is getattr(module, n) for n in given)


def test_a_name_that_is_not_there_is_an_error():
    with pytest.raises(ImportError, match="Forest"):
        from assay.tabular import Forest  # type: ignore  # noqa: F401


def test_importing_costs_nothing():
    heavy = "{'numpy', 'torch', 'pyarrow', 'scipy', 'sklearn'}"
    wings = ", ".join(PACKAGES)
    code = f"import sys, {wings}; found = {heavy} & set(sys.modules); assert not found, found"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", sorted(set(catalog.TASKS) - {"tabular"}))
def test_a_method_can_be_fitted_without_a_run(name):
    """`SigLIP().fit(pairs)`: surroundings are for those who have wishes about them."""
    for path in catalog.task(name).methods.values():
        run = inspect.signature(locate(path).fit).parameters["run"]
        assert run.kind is inspect.Parameter.KEYWORD_ONLY
        assert run.default is None, path
