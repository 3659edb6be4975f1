"""Solutions, and the journal of a fit."""

import json
from pathlib import Path

import numpy as np
import pytest
from control_worlds import BOOK

from assay.control.journal import Journal
from assay.control.sarsa import Sarsa
from assay.control.solution import Solution, Trace, estimated
from assay.control.value_iteration import ValueIteration
from assay.core.budget import Budget
from assay.core.run import Run
from assay.data.table import ContractError

FITTED = ValueIteration(tolerance=0.1).fit(BOOK.mdp(), run=Run())


class TestPredict:
    def test_states(self, tmp_path):
        everything = FITTED.predict()
        assert everything.shape == (25,)
        assert FITTED.predict([3, 3, 0]).tolist() == everything[[3, 3, 0]].tolist()
        assert FITTED.predict(7) == everything[7]
        path = tmp_path / "states.csv"
        path.write_text("state,note\n4,a\n17,b\n")
        assert FITTED.predict(path).tolist() == everything[[4, 17]].tolist()
        assert FITTED.predict(str(path)).tolist() == everything[[4, 17]].tolist()

    def test_a_soft_policy_predicts_its_greedy_action(self):
        solution = Sarsa(steps=2000, epsilon=0.8).fit(BOOK.mdp(), run=Run())
        assert np.array_equal(solution.predict(), solution.policy.argmax(axis=1))

    @pytest.mark.parametrize(("states", "got"), [([25], "25"), ([0, -1], "-1"), ([0.5], "0.5"), (["a"], "a")])
    def test_errors(self, states, got):
        with pytest.raises(ContractError, match=f"expected states from 0 to 24, got {got}"):
            FITTED.predict(states)


class TestFiles:
    def test_round_trip(self, tmp_path):
        for solution in (FITTED, Sarsa(steps=3000).fit(BOOK.mdp(), run=Run())):
            folder = tmp_path / str(len(solution.trace.steps))
            folder.mkdir()
            solution.save(folder)
            again = Solution.load(folder)
            for name in ("v", "q", "policy"):
                assert np.array_equal(getattr(again, name), getattr(solution, name))
            for name, array in vars(solution.trace).items():
                assert np.array_equal(getattr(again.trace, name), array)
            assert {file.suffix for file in folder.iterdir()} == {".json", ".safetensors"}

    def test_damage_is_named(self, tmp_path):
        def refused(words):
            with pytest.raises(ValueError, match=f"is not a whole saved solution: .*{words}"):
                Solution.load(tmp_path)

        refused("No such file")
        FITTED.save(tmp_path)
        facts = tmp_path / "solution.json"
        written = facts.read_text()
        facts.write_text(json.dumps({"format": "assay-estimator", "version": 1}))
        refused("expected assay-solution version 1")
        facts.write_text("[")
        refused("")
        facts.write_text(written)
        (tmp_path / "solution.safetensors").write_bytes(b"\0" * 20)
        refused("")


def test_estimated_values_of_the_unknown_are_zero():
    q = np.array([[1.0, -np.inf], [-np.inf, -np.inf], [-3.0, -2.0]])
    assert estimated(q).tolist() == [1, 0, -2]


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
