import json
from dataclasses import replace

import numpy as np
import pytest
from control_worlds import BOOK, CAREFUL, naive_action_values, outcomes, random_mdp

from assay.control.metrics import optimum
from assay.control.sources import read_mdp
from assay.data.table import ContractError

P = [[[0.5, 0.5], [1.0, 0.0]], [[0.0, 1.0], [0.25, 0.75]]]
REWARDS = [[1.0, 0.0], [2.0, -1.0]]
TABLE = [
    [[(0.5, 0, 1.0, False), (0.5, 1, 1.0, False)], [(1.0, 0, 0.0, False)]],
    [[(1.0, 1, 2.0, False)], [(0.25, 0, -1.0, False), (0.75, 1, -1.0, False)]],
]
COLUMNS = {
    "state": [0, 0, 0, 1, 1, 1],
    "action": [0, 0, 1, 0, 1, 1],
    "next": [0, 1, 0, 1, 0, 1],
    "prob": [0.5, 0.5, 1.0, 1.0, 0.25, 0.75],
    "reward": [1.0, 1.0, 0.0, 2.0, -1.0, -1.0],
}
FORMS = {
    "dense": {"P": P, "R": REWARDS},
    "dense by next state": {"P": P, "R": np.repeat(np.array(REWARDS)[:, :, None], 2, axis=2)},
    "columns": COLUMNS,
    "table": TABLE,
    "table of three": [[[outcome[:3] for outcome in action] for action in state] for state in TABLE],
    "table of mappings": {s: {a: TABLE[s][a] for a in (1, 0)} for s in (1, 0)},
    "table under its name": {"P": TABLE},
}


class TestArrays:
    @pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
    def test_every_form_gives_the_same_process(self, form):
        mdp = read_mdp(form)
        v = np.array([3.0, -4.0])
        expected = naive_action_values(read_mdp(TABLE), v)
        assert mdp.action_values(v) == pytest.approx(expected, abs=1e-15)
        assert expected[0, 0] == 0.5 * (1 + 0.99 * 3) + 0.5 * (1 - 0.99 * 4)
        assert mdp.start.tolist() == [0.5, 0.5]
        assert mdp.gamma == 0.99

    @pytest.mark.parametrize("form", ["dense", "dense by next state", "columns"])
    def test_files(self, form, tmp_path):
        arrays = {key: np.asarray(value) for key, value in FORMS[form].items()} | {"gamma": 0.5, "start": 1}
        np.savez(tmp_path / "world.npz", **arrays)
        listed = {key: value.tolist() if hasattr(value, "tolist") else value for key, value in arrays.items()}
        (tmp_path / "world.json").write_text(json.dumps(listed))
        read = [read_mdp(tmp_path / "world.npz"), read_mdp(str(tmp_path / "world.json"))]
        assert read[0].fingerprint() == read[1].fingerprint()
        assert [mdp.name for mdp in read] == ["world.npz", "world.json"]
        assert read[0].gamma == 0.5
        assert read[0].start.tolist() == [0, 1]
        assert read_mdp(tmp_path / "world.npz", gamma=0.8).gamma == 0.8

    def test_table_as_json(self, tmp_path):
        path = tmp_path / "table.json"
        path.write_text(json.dumps({"P": {"0": TABLE[0], "1": TABLE[1]}, "start": [0.25, 0.75]}))
        assert read_mdp(path).start.tolist() == [0.25, 0.75]
        path.write_text(json.dumps(TABLE))
        assert read_mdp(path).num_states == 2

    def test_deterministic_arrays(self):
        following = np.array([[1, 0], [1, 0]])
        mdp = read_mdp({"next": following, "reward": [[1, 2], [3, 4]], "terminated": following == 1})
        assert mdp.deterministic
        assert outcomes(mdp, 0, 0) == [(1.0, 1, 1.0, True)]
        assert outcomes(mdp, 1, 1) == [(1.0, 0, 4.0, False)]

    def test_rewards_of_the_next_state_are_averaged_by_probability(self):
        mdp = read_mdp({"P": [[[0.25, 0.75]], [[0, 1]]], "R": [[[4.0, 8.0]], [[np.nan, 1.0]]]})
        assert mdp.expected_reward[0].tolist() == [7.0, 1.0]

    def test_entering_a_terminal_state_ends_the_episode(self):
        mdp = read_mdp({"P": [[[0.5, 0.5]], [[0, 1]]], "R": [[1.0], [0.0]], "terminal": [False, True]})
        assert [ended for *_, ended in outcomes(mdp, 0, 0)] == [False, True]

    def test_a_random_process_survives_its_columns(self):
        mdp = random_mdp(np.random.default_rng(5))
        pair = np.repeat(np.arange(18), np.diff(mdp.offsets))
        columns = {"action": pair // 6, "state": pair % 6, "next": mdp.next_state, "prob": mdp.prob}
        columns |= {
            "reward": mdp.reward,
            "terminated": mdp.terminated,
            "gamma": mdp.gamma,
            "start": mdp.start,
        }
        assert read_mdp(columns).fingerprint() == mdp.fingerprint()

    @pytest.mark.parametrize(
        ("source", "words"),
        [
            ({"P": [[[0.5, 0.4]], [[0, 1]]], "R": [[0], [0]]}, "state 0, action 0 sum to 0.9; expected 1"),
            ({"P": [[[1.0, 0.0]], [[0, 0]]], "R": [[0], [0]]}, "state 1, action 0 sum to 0; expected 1"),
            ({"P": [[[1.0, 0.0]]], "R": [[0]]}, r"expected P of shape \(states, actions, states\)"),
            ({"P": P, "R": [[0.0, 1.0]]}, r"P counts 2 states and 2 actions, but R has shape \(1, 2\)"),
            ({"P": P, "R": REWARDS, "terminal": [True]}, r"P counts 2 states, but terminal has shape \(1,\)"),
            ({"P": P, "R": [[0, np.nan], [0, 0]]}, "a reward of state 0, action 1 is nan"),
            ({"P": P}, r"state 0, action 0: expected \(probability, next state"),
            ({"P": P, "R": [["a", "b"], ["c", "d"]]}, "expected numbers in 'R'"),
            ({"P": P, "R": [[1], [1, 2]]}, "rows of different lengths"),
            ({"P": P, "R": REWARDS, "start": 2}, "start is state 2; expected 0 to 1"),
            ({"P": P, "R": REWARDS, "start": [1, 0, 0]}, r"start has shape \(3,\)"),
            ({"P": P, "R": REWARDS, "gamma": 1}, r"gamma must be in \[0, 1\), got 1"),
            ({"Q": P}, "expected arrays P and R; next and reward; or .*; got Q"),
            ({"next": [[0, 1]], "reward": [[1]]}, "expected arrays of shape"),
            (
                {"next": [[0, 5]], "reward": [[1, 1]]},
                "a next state of state 0, action 1 is 5; expected 0 to 0",
            ),
            (COLUMNS | {"prob": [0.5, 0.5, 1.0, 1.0, 0.25, 0.5]}, "state 1, action 1 sum to 0.75"),
            (COLUMNS | {"prob": [1.0]}, "expected columns of one length"),
            ({key: [] for key in COLUMNS}, "expected at least one transition"),
            ([[[(1.0, 0, 0)]], []], "state 1 has 0 actions, the states before it have 1"),
            ([[[(1.0, "x", 0)]]], "state 0, action 0: expected numbers, got"),
            ([[[(1.0, 0)]]], "state 0, action 0: expected .probability, next state, reward"),
            ([], "expected at least one transition"),
            ({0: TABLE[0], 2: TABLE[1]}, "states must be numbered 0 to 1, got"),
            ([TABLE[0], "abc"], "actions of state 1: expected a list or a mapping"),
            (3, "expected a grid world, arrays, .* got int"),
        ],
    )
    def test_errors(self, source, words):
        with pytest.raises(ContractError, match=words):
            read_mdp(source)

    def test_errors_of_files(self, tmp_path):
        with pytest.raises(ContractError, match=r"there is no file .*nowhere.npz"):
            read_mdp(tmp_path / "nowhere.npz")
        broken = tmp_path / "broken.json"
        broken.write_text("{")
        with pytest.raises(
            ContractError, match=r"broken.json: expected JSON or arrays without Python objects"
        ):
            read_mdp(broken)
        world = tmp_path / "world.json"
        world.write_text(json.dumps({"map": ["S..", ".#T"], "gama": 0.7}))
        with pytest.raises(ContractError, match=r"^world\.json: a grid world has no field 'gama'"):
            read_mdp(world)
        world.write_text(json.dumps({"map": ["S..", ".#"]}))
        with pytest.raises(ContractError, match=r"^world\.json: grid world: expected a map of rows of equal"):
            read_mdp(world)
        (tmp_path / "broken.npz").write_bytes(b"no zip")
        with pytest.raises(ContractError, match=r"broken.npz: expected"):
            read_mdp(tmp_path / "broken.npz")
        np.savez(tmp_path / "objects.npz", P=np.array([{}], object))
        with pytest.raises(ContractError, match=r"objects.npz: expected .* without Python objects"):
            read_mdp(tmp_path / "objects.npz")
        with pytest.raises(ContractError, match="takes no option but gamma, got r_forbidden"):
            read_mdp(FORMS["dense"], r_forbidden=-1)


class TestGridWorlds:
    def test_default_objects_and_options(self, tmp_path):
        assert read_mdp().fingerprint() == read_mdp("grid-world").fingerprint() == BOOK.mdp().fingerprint()
        assert read_mdp(CAREFUL).fingerprint() == read_mdp(r_forbidden=-10).fingerprint()
        assert (
            read_mdp(CAREFUL, gamma=0.5, start=None).fingerprint()
            == read_mdp(replace(CAREFUL, gamma=0.5, start=None)).fingerprint()
        )
        assert read_mdp(BOOK.mdp(), gamma=0.5).gamma == 0.5
        path = tmp_path / "maze.json"
        path.write_text(json.dumps({"map": ["S..", ".#T"], "r_forbidden": -3, "gamma": 0.7}))
        mdp = read_mdp(path, r_other=-0.5)
        assert (mdp.name, mdp.num_states, mdp.gamma) == ("maze.json", 6, 0.7)
        assert mdp.expected_reward[1, 0] == -0.5
        assert mdp.expected_reward[1, 3] == -3
        with pytest.raises(ContractError, match="has no field 'r_forbiden'"):
            read_mdp(r_forbiden=-10)


class TestEnvironments:
    @pytest.fixture(autouse=True)
    def gymnasium(self):
        return pytest.importorskip("gymnasium")

    @pytest.mark.parametrize(
        ("name", "states", "actions"), [("FrozenLake-v1", 16, 4), ("CliffWalking-v1", 48, 4)]
    )
    def test_the_table_is_gymnasiums(self, gymnasium, name, states, actions):
        table = gymnasium.make(name).unwrapped.P
        mdp = read_mdp(name)
        assert (mdp.num_states, mdp.num_actions, mdp.name) == (states, actions, name)
        for state in range(states):
            for action in range(actions):
                expected = [tuple(map(float, o)) for o in table[state][action] if o[0] > 0]
                assert [tuple(map(float, o)) for o in outcomes(mdp, state, action)] == expected
        assert mdp.grid is not None
        assert mdp.grid.shape[0] * mdp.grid.shape[1] == states

    def test_taxi(self):
        name = next(n for n in ("Taxi-v4", "Taxi-v3") if n in pytest.importorskip("gymnasium").registry)
        mdp = read_mdp(name, gamma=0.9)
        assert (mdp.num_states, mdp.num_actions, mdp.grid) == (500, 6, None)
        assert mdp.start.sum() == pytest.approx(1)
        best = optimum(mdp)
        assert best.v == pytest.approx(mdp.best_values(best.v), abs=1e-9)
        assert best.v.max() == 20  # Drop the passenger off now.

    def test_frozen_lake_in_closed_form(self):
        """The values of the slippery lake satisfy Bellman's equation in Gymnasium's own table."""
        gymnasium = pytest.importorskip("gymnasium")
        table = gymnasium.make("FrozenLake-v1").unwrapped.P
        v = optimum(read_mdp("FrozenLake-v1", gamma=0.95)).v
        for state in range(16):
            worth = [sum(p * (r + 0.95 * (not t) * v[n]) for p, n, r, t in table[state][a]) for a in range(4)]
            assert v[state] == pytest.approx(max(worth), abs=1e-12)
        assert 0 < v[0] < v[14] < 1

    def test_options_and_made_environments(self, gymnasium):
        slippery, dry = read_mdp("FrozenLake-v1"), read_mdp("FrozenLake-v1", is_slippery=False)
        assert dry.deterministic
        assert not slippery.deterministic
        made = gymnasium.make("FrozenLake-v1", is_slippery=False)
        assert read_mdp(made).fingerprint() == dry.fingerprint()
        assert read_mdp(made).name == "FrozenLake-v1"

    def test_our_own_environment_gives_our_own_world(self):
        mdp = read_mdp(CAREFUL.env(), gamma=0.9)
        assert mdp.fingerprint() == CAREFUL.mdp().fingerprint()
        assert mdp.grid == CAREFUL.mdp().grid
        assert mdp.name == "GridWorldEnv"

    def test_errors(self, gymnasium):
        with pytest.raises(
            ContractError, match=r"no file and no environment 'FrozenLak-v1'; did you mean 'FrozenL"
        ):
            read_mdp("FrozenLak-v1")
        with pytest.raises(ContractError, match="did you mean 'grid-world'"):
            read_mdp("grid-wrld")
        with pytest.raises(ContractError, match=r"cannot be made.*is_slipery"):
            read_mdp("FrozenLake-v1", is_slipery=False)
        with pytest.raises(
            ContractError, match=r"numbered states and actions and a transition table P.*no table"
        ):
            read_mdp("CartPole-v1")
        with pytest.raises(ContractError, match=r"gamma must be in \[0, 1\)"):
            read_mdp("FrozenLake-v1", gamma=1.0)

    def test_spaces_and_table_must_agree(self):
        env = CAREFUL.env()
        del env.P[24]
        with pytest.raises(
            ContractError, match=r"a next state of|the table has 24 states and 5 actions, the spaces"
        ):
            read_mdp(env)
