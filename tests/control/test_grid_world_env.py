from dataclasses import replace

import numpy as np
import pytest
from control_worlds import ASYMMETRIC, BOOK

from assay.control.grid_world import ACTIONS, GridWorld

R = 1  # The number of the action "right".


class TestEnvironment:
    @pytest.fixture(autouse=True)
    def gymnasium(self):
        return pytest.importorskip("gymnasium")

    @pytest.mark.filterwarnings("error::UserWarning")
    @pytest.mark.parametrize("render_mode", [None, "ansi"])
    @pytest.mark.parametrize("world", [BOOK, replace(BOOK, target_terminal=True, start=None)])
    def test_passes_gymnasiums_checker(self, gymnasium, world, render_mode):
        from gymnasium.utils.env_checker import check_env

        name = "assay.control.grid_world_env:assay/GridWorld-v0"
        env = gymnasium.make(name, world=world, render_mode=render_mode).unwrapped
        assert env.world == world
        check_env(env)

    def test_steps_follow_the_arrays(self):
        mdp = ASYMMETRIC.mdp()
        env = ASYMMETRIC.env()
        state, info = env.reset(seed=0)
        assert (state, info) == (0, {})
        rng = np.random.default_rng(0)
        for _ in range(200):
            action = int(rng.integers(5))
            at = action * mdp.num_states + state
            state, reward, terminated, truncated, info = env.step(action)
            assert state == mdp.next_state[at]
            assert reward == mdp.reward[at]
            assert (terminated, truncated, info) == (False, False, {})

    def test_starts_are_drawn(self):
        env = replace(BOOK, start=None).env()
        seen = {env.reset(seed=0)[0]} | {env.reset()[0] for _ in range(400)}
        assert seen == set(range(25))

    def test_ends_at_a_terminal_target(self):
        env = GridWorld(shape=(1, 2), forbidden=(), target=(1, 2), target_terminal=True).env()
        env.reset(seed=0)
        assert env.step(R) == (1, 1.0, True, False, {})

    def test_renders_the_map(self):
        env = BOOK.env("ansi")
        env.reset(seed=0)
        assert env.render() == "start:\n@....\n.##..\n..#..\n.#T#.\n.#...\n"
        env.step(R)
        assert env.render() == "after R:\n.@...\n.##..\n..#..\n.#T#.\n.#...\n"
        assert BOOK.env().render() is None

    def test_errors(self):
        env = BOOK.env()
        env.reset(seed=0)
        with pytest.raises(ValueError, match="expected an action from 0 to 4, got 5"):
            env.step(5)
        with pytest.raises(ValueError, match="render_mode must be None or 'ansi', got 'human'"):
            BOOK.env("human")

    def test_letters_and_moves_match(self):
        env = BOOK.env()
        env.reset(seed=0)
        cells = [env.step(ACTIONS.index(letter))[0] for letter in "RDLUS"]
        assert cells == [1, 6, 5, 0, 0]
