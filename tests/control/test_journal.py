import json
from pathlib import Path

import numpy as np
import pytest

from assay.control.journal import Journal
from assay.control.solution import Trace
from assay.core.budget import Budget
from assay.core.run import Run


class TestJournal:
    def filled(self, journal, count):
        for step in range(1, count + 1):
            journal.spend(10)
            if journal.due():
                journal.keep(step, np.full(3, float(step)), np.full(3, step))
        journal.keep(count, np.full(3, float(count)), np.full(3, count))
        return journal.trace()

    def test_few_snapshots_are_all_kept(self):
        trace = self.filled(Journal(Run(), 3), 40)
        assert isinstance(trace, Trace)
        assert trace.iterations.tolist() == list(range(1, 41))
        assert trace.steps.tolist() == list(range(10, 401, 10))
        assert trace.v[7].tolist() == [8, 8, 8]

    @pytest.mark.parametrize("count", [255, 256, 257, 258, 1000, 5000])
    def test_many_are_thinned_evenly_and_end_at_the_end(self, count):
        trace = self.filled(Journal(Run(), 3), count)
        assert len(trace.steps) <= 258
        assert trace.iterations[0] == 1
        assert trace.iterations[-1] == count
        assert len(set(np.diff(trace.iterations)[:-1].tolist())) <= 2
        assert len(trace.steps) >= min(count, 128)

    def test_large_processes_keep_few(self):
        journal = Journal(Run(), 2**20)
        assert journal._capacity == 2
        assert Journal(Run(), 2**30)._capacity == 2

    def test_snapshots_are_copies(self):
        journal, v = Journal(Run(), 2), np.zeros(2)
        journal.keep(1, v, np.zeros(2, int))
        v[:] = 7
        assert journal.trace().v[0].tolist() == [0, 0]

    def test_what_remains(self):
        assert Journal(Run(), 3).remaining == float("inf")
        own = Journal(Run(), 3, steps=100)
        own.spend(30)
        assert own.remaining == 70
        given = Journal(Run(budget=Budget(50, "steps")), 3, steps=100)
        given.spend(30)
        assert given.remaining == 20
        assert Journal(Run(budget=Budget(100, "seconds")), 3, steps=10).remaining == float("inf")
        late = Run(budget=Budget(1e-9, "seconds"))
        assert Journal(late, 3).remaining == 0

    def test_progress_and_log(self, tmp_path: Path):
        said: list[tuple[float, str]] = []
        run = Run(folder=tmp_path, progress=lambda done, text: said.append((done, text)))
        journal = Journal(run, 2, steps=40)
        journal.spend(10)
        journal.keep(1, np.zeros(2), np.zeros(2, int), change=0.5)
        run.close()
        assert said == [(0.25, "10 steps")]
        [line] = (tmp_path / "log.jsonl").read_text().splitlines()
        assert json.loads(line) | {"seconds": 0} == {"step": 10, "seconds": 0, "iteration": 1, "change": 0.5}
        until = Journal(run, 2)
        assert [until.settled(change, 1e-4, 0.9) for change in (1.0, 0.01, 1e-4)] == [False, False, True]
        assert said[-1] == (pytest.approx(0.5), "change 0.01")

    def test_sweeps_end_where_rounding_does(self):
        journal = Journal(Run(), 2)
        assert not journal.settled(1e12, 1e-6, 0.9)
        assert not journal.settled(1.0, 1e-6, 0.9)
        assert journal.settled(0.009, 1e-6, 0.9)  # Values of 1e13 have no finer neighbours.
        assert Journal(Run(), 2).settled(0.0, 1e-6, 0.0)
