import json
from types import SimpleNamespace

import numpy as np
import pytest

from assay.core.budget import Budget
from assay.core.run import Run
from assay.density.contract import BinaryData, binarised
from assay.density.training import Adam, check_settings, held_out, is_shown, threads, train


def naive_adam(w, gradients, rate):
    """Algorithm 1 of the paper, for one number."""
    m = v = 0.0
    for t, g in enumerate(gradients, start=1):
        m = 0.9 * m + 0.1 * g
        v = 0.999 * v + 0.001 * g * g
        w -= rate * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    return w


def data(rows=100, D=3):
    return BinaryData(np.random.default_rng(0).integers(0, 2, (rows, D)).astype(np.uint8))


def pull(weights, x, rng):
    """A quadratic loss whose least is at 1."""
    return float(((weights["w"] - 1) ** 2).sum()), {"w": 2 * (weights["w"] - 1)}


def distance(weights, x):
    return float(((weights["w"] - 1) ** 2).sum())


def settings(**changes):
    """What a method says of its training."""
    given = {"learning_rate": 0.1, "batch_size": 20, "max_epochs": 5, "patience": 3}
    return SimpleNamespace(**given | changes)


class TestAdam:
    def test_is_the_papers_loop(self):
        rng = np.random.default_rng(0)
        gradients = rng.normal(size=(7, 4))
        w = {"a": rng.normal(size=3), "b": rng.normal(size=1)}
        expected = [naive_adam(value, gradients[:, i], 0.05) for i, value in enumerate([*w["a"], *w["b"]])]
        adam = Adam(w, 0.05)
        for g in gradients:
            adam.step({"a": g[:3], "b": g[3:]})
        assert [*w["a"], *w["b"]] == pytest.approx(expected, abs=1e-12)

    def test_is_torchs(self):
        torch = pytest.importorskip("torch")
        rng = np.random.default_rng(1)
        w = {"w": rng.normal(size=(3, 2))}
        theirs = torch.tensor(w["w"].copy(), requires_grad=True)
        optimizer = torch.optim.Adam([theirs], lr=0.01)
        adam = Adam(w, 0.01)
        for _ in range(10):
            g = rng.normal(size=(3, 2))
            theirs.grad = torch.tensor(g)
            optimizer.step()
            adam.step({"w": g})
        assert w["w"] == pytest.approx(theirs.detach().numpy(), abs=1e-10)


class TestHeldOut:
    def test_is_a_tenth_and_leaves_the_rest(self):
        x = np.arange(200).reshape(100, 2).astype(np.uint8)
        learn, check = held_out(BinaryData(x), Run(seed=3))
        assert (len(learn), len(check)) == (90, 10)
        assert sorted([*learn.x[:, 0], *check.x[:, 0]]) == sorted(x[:, 0])

    def test_depends_on_the_seed_alone(self):
        one, two, other = (held_out(data(), Run(seed=seed))[1].x for seed in (0, 0, 1))
        assert np.array_equal(one, two)
        assert not np.array_equal(one, other)

    def test_needs_two_rows(self):
        assert len(held_out(data(rows=2), Run())[1]) == 1
        with pytest.raises(ValueError, match="expected at least 2 rows"):
            held_out(data(rows=1), Run())


class TestTrain:
    def test_moves_a_copy_towards_the_least_loss(self):
        start = {"w": np.zeros(2)}
        best, history = train(start, pull, distance, data(), Run(), settings())
        assert distance(best, None) < 0.5
        assert (start["w"] == 0).all()
        assert [moment.epoch for moment in history] == [1, 2, 3, 4, 5]

    def test_keeps_the_best_weights_and_stops_when_held_out_rows_gain_no_more(self):
        scores = iter([5.0, 4.0, 3.0, 3.5, 3.0, 3.2, 1.0])
        seen = []

        def score(weights, x):
            seen.append(weights["w"].copy())
            return next(scores)

        best, history = train({"w": np.zeros(1)}, pull, score, data(), Run(), settings(max_epochs=99))
        assert len(history) == 5  # The third, fourth and fifth did not gain.
        assert np.array_equal(best["w"], seen[2])

    def test_every_row_is_seen_once_an_epoch(self):
        batches = []

        def gradient(weights, x, rng):
            batches.append(x.copy())
            return 0.0, {"w": np.zeros(1)}

        x = (np.arange(100)[:, None] >> np.arange(7) & 1).astype(np.uint8)
        train(
            {"w": np.zeros(1)},
            gradient,
            distance,
            BinaryData(x),
            Run(),
            settings(max_epochs=2, batch_size=40),
        )
        assert [len(b) for b in batches] == [40, 40, 10] * 2
        for epoch in (batches[:3], batches[3:]):
            rows = np.concatenate(epoch)
            assert len(np.unique(rows, axis=0)) == 90
        assert not np.array_equal(batches[0], batches[3])

    def test_stochastic_bits_are_drawn_anew_in_every_epoch_and_held_out_ones_are_not(self):
        batches, checks = [], []

        def gradient(weights, x, rng):
            batches.append(x.mean())
            return 0.0, {"w": np.zeros(1)}

        def score(weights, x):
            checks.append(x.copy())
            return 0.0

        grey = np.random.default_rng(0).random((100, 50))
        stochastic = binarised(grey, "stochastic", name="grey")
        train({"w": np.zeros(1)}, gradient, score, stochastic, Run(), settings(batch_size=1000))
        assert len(set(batches)) == len(batches) == 3
        assert all(np.array_equal(check, checks[0]) for check in checks)

    @pytest.mark.parametrize(
        ("budget", "steps"),
        [
            ("7steps", 7),
            ("2epochs", 10),
            ("1.5epochs", 8),
            ("60examples", 3),
            ("61examples", 4),
            ("20epochs", 100),
        ],
    )
    def test_budgets_are_kept(self, budget, steps):
        taken = []

        def gradient(weights, x, rng):
            taken.append(len(x))
            return 0.0, {"w": np.zeros(1)}

        scores = iter(np.arange(1000, 0, -1))
        run = Run(budget=Budget.parse(budget))
        train(
            {"w": np.zeros(1)},
            gradient,
            lambda w, x: float(next(scores)),
            data(),
            run,
            settings(),
        )
        assert len(taken) == steps  # Five steps an epoch, of 20, 20, 20, 20 and 10 rows.

    def test_seconds_stop_it(self):
        run = Run(budget=Budget(1e-9, "seconds"))
        run.start_clock()
        _, history = train({"w": np.zeros(1)}, pull, distance, data(), run, settings())
        assert len(history) == 1

    def test_a_loss_that_is_no_number_is_an_error(self):
        def gradient(weights, x, rng):
            return float("nan"), {"w": np.zeros(1)}

        with pytest.raises(FloatingPointError, match="the loss is nan in epoch 1: lower the learning rate"):
            train({"w": np.zeros(1)}, gradient, distance, data(), Run(), settings())

    def test_log_and_progress_tell_how_it_goes(self, tmp_path):
        words = []
        run = Run(folder=tmp_path, progress=lambda fraction, text: words.append((fraction, text)))
        train({"w": np.zeros(1)}, pull, distance, data(), run, settings())
        run.close()
        lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
        assert [line["step"] for line in lines] == [5, 10, 15, 20, 25]
        assert lines[-1]["train"] < lines[0]["train"]
        assert lines[-1]["validation"] < lines[0]["validation"]
        assert words[-1] == (1.0, "epoch 5")


def test_learning_curves_show_ever_fewer_epochs():
    shown = [epoch for epoch in range(1, 1001) if is_shown(epoch)]
    assert shown[:6] == [1, 2, 3, 4, 5, 6]
    assert len(shown) < 50


def test_settings_must_be_positive():
    class Method:
        learning_rate, batch_size, max_epochs, patience = 0.1, 1, 1, -1

    with pytest.raises(ValueError, match="expected patience above 0, got -1"):
        check_settings(Method())


def test_threads_are_limited_where_they_can_be():
    threadpoolctl = pytest.importorskip("threadpoolctl")
    with threads(Run(threads=1)):
        assert {pool["num_threads"] for pool in threadpoolctl.threadpool_info()} == {1}
