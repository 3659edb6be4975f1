import json

import numpy as np
import pytest
from control_worlds import BOOK

from assay.control.sarsa import Sarsa
from assay.control.solution import Solution, estimated
from assay.control.value_iteration import ValueIteration
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
