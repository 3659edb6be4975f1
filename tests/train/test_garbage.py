import contextlib
import gc
import subprocess
import sys
import weakref

import pytest

from assay.train.garbage import collected


class Cycle:
    def __init__(self):
        self.me = self


@pytest.fixture(autouse=True)
def as_before():
    gc.collect()
    before = gc.isenabled(), gc.get_freeze_count()
    yield
    assert (gc.isenabled(), gc.get_freeze_count()) == before


def test_garbage_is_collected_at_chosen_steps_only():
    dead_at = {}
    with collected(every=4, warmup=1) as collect:
        collect(1)
        for step in range(2, 9):
            found = Cycle()
            reference = weakref.ref(found)
            del found
            collect(step)
            dead_at[step] = reference() is None
    assert [step for step, dead in dead_at.items() if dead] == [4, 8]


def test_memory_of_cycles_is_bounded_with_the_policy_and_not_without():
    def alive(every):
        living = weakref.WeakSet()
        with collected(every=every, warmup=1) as collect:
            for step in range(1, 60):
                living.add(Cycle())
                collect(step)
            return len(living)

    assert alive(5) <= 5
    assert alive(1000) >= 58


def test_what_lived_at_the_freeze_can_die_afterwards():
    found = Cycle()
    reference = weakref.ref(found)
    with collected(every=1, warmup=1) as collect:
        collect(1)
        assert gc.get_freeze_count() > 0
        del found
        collect(2)
        assert reference() is not None
    gc.collect()
    assert reference() is None


def test_blocks_nest_and_errors_restore():
    with collected(warmup=1) as outer:
        outer(1)
        with contextlib.suppress(KeyError), collected(warmup=1) as inner:
            inner(1)
            raise KeyError
        assert not gc.isenabled()
        assert gc.get_freeze_count() > 0
    gc.disable()
    try:
        with collected():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_disabled_it_changes_nothing():
    with collected(enabled=False) as collect:
        collect(10)
        assert gc.isenabled()


def test_child_processes_are_not_affected():
    with collected():
        code = "import gc; print(gc.isenabled())"
        found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "True\n"


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="expected positive numbers of steps"), collected(every=0):
        pass
