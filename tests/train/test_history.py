import json

import pytest

from assay.core.budget import Budget
from assay.core.run import Run
from assay.train.history import History, pace


def history(steps=20, *, seconds=0.5):
    found = History()
    for step in range(1, steps + 1):
        found.add(10 * step, seconds * step, {"loss": 1 / step, "a": float(step)}, updated=step % 5 != 0)
    return found


def test_steps_are_numbered_and_skipped_ones_counted():
    found = history()
    assert [record.step for record in found.records] == list(range(1, 21))
    assert (found.skipped, found.examples, found.seconds) == (4, 200, 10.0)
    assert found.add(1, 1.0, {}, updated=True) == 21
    assert (History().seconds, History().examples, History().examples_per_second) == (0, 0, 0)


def test_speed_leaves_the_first_steps_out():
    found = history()
    assert found.examples_per_second == pytest.approx(20)
    slow = History()
    slow.add(10, 100.0, {}, updated=True)
    assert slow.examples_per_second == pytest.approx(0.1)
    for step in range(2, 21):
        slow.add(10 * step, 100.0 + step, {}, updated=True)
    assert slow.examples_per_second == pytest.approx(10)


def test_curves_are_values_or_means_of_stretches():
    found = history()
    assert found.curve("a")[:2] == [(1.0, 1.0), (2.0, 2.0)]
    assert len(found.curve()) == 20
    assert found.curve("a", points=4) == [(5.0, 3.0), (10.0, 8.0), (15.0, 13.0), (20.0, 18.0)]
    assert [step for step, _ in found.curve("a", points=3)] == [7.0, 13.0, 20.0]
    assert found.curve("a", points=50) == found.curve("a")
    found.records[3].values["late"] = 7.0
    assert found.curve("late") == [(4.0, 7.0)]
    with pytest.raises(KeyError, match="no scalar 'lost'; there are a, late, loss"):
        found.curve("lost")


def test_goes_on_where_it_was_with_log_and_clock(tmp_path):
    run = Run(folder=tmp_path, budget=Budget(20, "seconds"))
    for step in range(1, 25):
        run.log(step, loss=0.0)
    again = History.resumed(json.loads(json.dumps(history().state_dict())), run)
    run.close()
    assert again == history()
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 20
    assert run.spent() == pytest.approx(0.5, abs=0.01)
    assert History.resumed(None, run) == History()


def test_pace_is_one_line():
    assert pace(history(), 0.25) == "step 20, loss 0.05, 20 examples/s, 0:30 left"
    assert pace(history(seconds=30), 0.5) == "step 20, loss 0.05, 0 examples/s, 10:00 left"
    assert pace(history(), 1.0).endswith("examples/s")
