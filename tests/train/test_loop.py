import json
import math

import numpy as np
import pytest
import torch
from torch import nn

from assay.core.budget import Budget
from assay.core.run import Run
from assay.train import loop
from assay.train.batches import Batches
from assay.train.ema import Ema
from assay.train.loop import PATIENCE, train
from assay.train.optimizers import adamw, muon
from assay.train.schedule import cosine
from assay.train.seeding import seeded


def problem(dtype=torch.float32, rows=96):
    """A small network, a loss, and batches of 16 rows of a question that it can learn."""
    rng = torch.Generator().manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 12), nn.Tanh(), nn.Linear(12, 12), nn.Tanh(), nn.Linear(12, 3)).to(
        dtype
    )
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(0.3 * torch.randn(p.shape, generator=rng))
    x = torch.randn(rows, 6, generator=rng).to(dtype)
    y = (x[:, 0] > 0).long() + (x[:, 1] > 0).long()

    def loss_fn(x, y):
        logits = model(x)
        loss = nn.functional.cross_entropy(logits, y)
        return {"loss": loss, "accuracy": (logits.argmax(1) == y).double().mean()}

    return model, loss_fn, Batches((x, y), 16, np.random.default_rng(0))


def numbers(rows=8):
    """A linear question whose gradient is easy: loss = w * x, so every step moves w by -lr * mean(x)."""
    w = nn.Parameter(torch.zeros((), dtype=torch.float64))
    model = nn.ParameterList([w])
    return w, model, lambda x: {"loss": (w * x).mean()}


class TestStopping:
    def run_for(self, run=None, rows=8, **options):
        w, model, loss_fn = numbers()
        batches = [(torch.ones(2),) for _ in range(rows)]
        return train(loss_fn, batches, torch.optim.SGD([w], lr=1.0), run or Run(), model=model, **options)

    def test_one_pass_without_steps_and_budget(self):
        history = self.run_for()
        assert len(history.records) == 8
        assert history.examples == 16

    def test_steps(self):
        assert len(self.run_for(steps=3).records) == 3
        assert len(self.run_for(steps=20).records) == 20
        assert len(self.run_for(steps=7, accumulate=3).records) == 7

    @pytest.mark.parametrize(
        ("budget", "expected"),
        [("5steps", 5), ("20steps", 20), ("6examples", 3), ("1.5epochs", 12), ("2epochs", 16)],
    )
    def test_budgets(self, budget, expected):
        assert len(self.run_for(Run(budget=Budget.parse(budget))).records) == expected

    def test_seconds(self):
        run = Run(budget=Budget(0.2, "seconds"))
        run.start_clock()
        history = self.run_for(run)
        assert history.records
        assert run.spent() == 1

    def test_whichever_comes_first(self):
        assert len(self.run_for(Run(budget=Budget(5, "steps")), steps=3).records) == 3
        assert len(self.run_for(Run(budget=Budget(3, "steps")), steps=5).records) == 3

    def test_accumulation_leaves_out_what_does_not_fill_a_step(self):
        assert len(self.run_for(accumulate=3).records) == 2

    def test_a_generator_is_one_pass(self):
        w, model, loss_fn = numbers()
        batches = ((torch.ones(2),) for _ in range(5))
        history = train(loss_fn, batches, torch.optim.SGD([w], lr=1.0), Run(), model=model, steps=50)
        assert len(history.records) == 5

    def test_no_batch_at_all(self):
        with pytest.raises(ValueError, match="expected at least one batch to train on"):
            self.run_for(rows=0, steps=3)


class TestLearning:
    @pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
    @pytest.mark.parametrize("make", [adamw, muon])
    def test_every_precision_and_optimizer(self, precision, make):
        model, loss_fn, batches = problem()
        optimizer = adamw(model, 0.02) if make is adamw else muon(model, 0.05, 0.05)
        run = Run(precision=precision)
        history = train(
            loss_fn, batches, optimizer, run, model=model, steps=60, schedule=cosine(), clip_norm=1.0
        )
        [(_, first), *_, (_, last)] = history.curve(points=6)
        assert last < 0.6 * first
        assert history.records[-1].values.keys() >= {"loss", "accuracy", "grad_norm"}
        assert ("loss_scale" in history.records[-1].values) == (precision == "fp16")
        assert all(p.dtype == torch.float32 for p in model.parameters())

    def test_is_deterministic(self):
        def once():
            with seeded(Run(seed=3)):
                model, loss_fn, batches = problem()
                model.append(nn.Dropout(0.2))
                train(loss_fn, batches, adamw(model, 0.02), Run(), model=model, steps=20)
            return torch.cat([p.detach().flatten() for p in model.parameters()])

        assert torch.equal(once(), once())

    def test_after_step_and_running_mean_follow_updates(self):
        w, model, loss_fn = numbers()

        def clamp():
            with torch.no_grad():
                w.clamp_(min=-2.5)

        ema = Ema(model, 0.0, warm=False)
        batches = [(torch.ones(2),)] * 6
        train(loss_fn, batches, torch.optim.SGD([w], lr=1.0), Run(), model=model, after_step=clamp, ema=ema)
        assert w.item() == -2.5
        assert ema.updates == 6
        assert ema.mean["0"].item() == -2.5


class TestSchedule:
    def rates(self, values, steps, **options):
        w, model, loss_fn = numbers()
        optimizer, seen = torch.optim.SGD([w], lr=2.0), []
        run = Run(progress=lambda fraction, text: seen.append((fraction, optimizer.param_groups[0]["lr"])))
        batches = [(torch.full((2,), value),) for value in values]
        history = train(
            loss_fn,
            batches,
            optimizer,
            run,
            model=model,
            steps=steps,
            schedule=lambda done: 1 - done,
            **options,
        )
        assert optimizer.param_groups[0]["lr"] == 2.0  # As it was given.
        return history, seen

    def test_is_asked_for_the_middle_of_each_step(self):
        _, seen = self.rates([1.0], 4)
        assert [rate for _, rate in seen] == [2 * (1 - (k + 0.5) / 4) for k in range(4)]
        assert [fraction for fraction, _ in seen] == [0.25, 0.5, 0.75, 1.0]

    def test_stands_still_when_a_step_is_skipped(self):
        values = [1.0, math.inf, 1.0, math.nan, math.nan, 1.0]
        history, seen = self.rates(values, 6)
        assert history.skipped == 3
        expected, updates = [], 0
        for value in values:
            expected.append(2 * (1 - (updates + 0.5) / 6))
            updates += math.isfinite(value)
        assert [rate for _, rate in seen] == expected

    def test_follows_a_budget(self):
        w, model, loss_fn = numbers()
        seen = []
        run = Run(budget=Budget(8, "examples"))

        def schedule(done):
            seen.append(done)
            return 1.0

        train(loss_fn, [(torch.ones(2),)], torch.optim.SGD([w], lr=1.0), run, model=model, schedule=schedule)
        assert seen == [0.0, 0.25, 0.5, 0.75]


class TestNotFinite:
    def test_is_skipped_and_counted(self):
        w, model, loss_fn = numbers()
        values = [1.0, math.nan, 1.0, math.inf]
        history = train(
            loss_fn,
            [(torch.full((2,), v),) for v in values],
            torch.optim.SGD([w], lr=1.0),
            Run(),
            model=model,
        )
        assert history.skipped == 2
        assert w.item() == -2.0
        assert [math.isfinite(r.values["grad_norm"]) for r in history.records] == [True, False, True, False]

    def test_ends_the_training_when_it_goes_on(self):
        w, model, loss_fn = numbers()
        batches = [(torch.ones(2),), *[(torch.full((2,), math.nan),)] * 50]
        message = f"step {PATIENCE + 1}: {PATIENCE} steps in a row without a finite gradient; loss nan, .*: 0"
        with pytest.raises(FloatingPointError, match=message):
            train(loss_fn, batches, torch.optim.SGD([w], lr=1.0), Run(), model=model)
        assert w.item() == -1.0

    def test_begins_anew_after_a_good_step(self):
        w, model, loss_fn = numbers()
        values = ([math.nan] * (PATIENCE - 1) + [1.0]) * 2
        batches = [(torch.full((2,), v),) for v in values]
        history = train(loss_fn, batches, torch.optim.SGD([w], lr=1.0), Run(), model=model)
        assert history.skipped == 2 * (PATIENCE - 1)


class TestSurroundings:
    def test_log_and_trackers_get_every_step(self, tmp_path):
        seen = []

        class Tracker:
            def log(self, step, scalars):
                seen.append((step, set(scalars)))

            def close(self):
                pass

        model, loss_fn, batches = problem()
        run = Run(folder=tmp_path, trackers=(Tracker(),))
        history = train(loss_fn, batches, adamw(model, 0.01), run, model=model, steps=5)
        run.close()
        records = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
        assert [r["step"] for r in records] == [1, 2, 3, 4, 5]
        assert [r["loss"] for r in records] == [r.values["loss"] for r in history.records]
        assert records[0].keys() == {"step", "seconds", "loss", "accuracy", "grad_norm", "lr"}
        assert seen == [(k, {"loss", "accuracy", "grad_norm", "lr"}) for k in range(1, 6)]

    def test_progress_says_step_loss_speed_and_time_left(self):
        model, loss_fn, batches = problem()
        words = []
        run = Run(progress=lambda fraction, text: words.append((fraction, text)))
        train(loss_fn, batches, adamw(model, 0.01), run, model=model, steps=4)
        assert [fraction for fraction, _ in words] == [0.25, 0.5, 0.75, 1.0]
        assert words[1][1].startswith("step 2, loss ")
        assert "examples/s" in words[1][1]
        assert words[1][1].endswith("left")

    def test_nothing_is_written_without_a_folder(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        model, loss_fn, batches = problem()
        train(loss_fn, batches, adamw(model, 0.01), Run(checkpoint_every=1), model=model, steps=3)
        assert not list(tmp_path.iterdir())

    def test_the_loop_is_short(self):
        source = loop.__file__
        assert source is not None
        with open(source) as file:
            assert sum(1 for _ in file) <= 120

    def test_global_random_state_is_left_alone(self):
        model, loss_fn, batches = problem()
        state = torch.get_rng_state()
        train(loss_fn, batches, adamw(model, 0.01), Run(), model=model, steps=3)
        assert torch.equal(torch.get_rng_state(), state)
