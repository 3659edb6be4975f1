import importlib.metadata
import json
import os
import platform
import subprocess
import sys

import pytest

from assay import __version__
from assay.core.environment import cores, environment, physical_memory


def test_it_names_assay_python_machine_and_the_libraries_always_used():
    found = environment()
    assert json.loads(json.dumps(found)) == found
    assert found["assay"] == __version__
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["system"].split() == [platform.system(), platform.machine()]
    assert found["processor"]
    assert found["cores"] == cores()
    assert found["memory"] == physical_memory()
    assert list(found["libraries"]) == ["numpy", "pyarrow", "scipy"]
    for name, version in found["libraries"].items():
        assert version == importlib.metadata.version(name)


def test_libraries_asked_for_are_added_in_order_unless_they_are_not_installed():
    libraries = environment(["rich", "no-such-distribution", "jinja2", "numpy"])["libraries"]
    assert list(libraries) == ["jinja2", "numpy", "pyarrow", "rich", "scipy"]
    assert libraries["rich"] == importlib.metadata.version("rich")


def test_versions_are_read_without_importing_the_libraries():
    code = (
        "import sys; from assay.core.environment import environment; environment(['plotly'])\n"
        "print([name for name in ('scipy', 'pyarrow', 'plotly') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system does not confine processes")
def test_cores_are_those_the_process_may_use():
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert cores() == 1
    finally:
        os.sched_setaffinity(0, before)
    assert cores() == len(before)


def test_memory_is_no_more_than_the_machine_has():
    assert 0 < physical_memory() <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
