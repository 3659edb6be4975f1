import json

import numpy as np
import pytest
from estimation_worlds import Normal, mean_of

from assay.core.budget import Budget
from assay.core.run import Run
from assay.estimation.constant_step import ConstantStep
from assay.estimation.experiment import Experiment
from assay.estimation.oracles import Mean, Tanh
from assay.estimation.populations import Column
from assay.estimation.recorder import Recorder
from assay.estimation.task import task

COLUMN = mean_of(Column(np.arange(30.0)), samples=100, runs=2)


def recorder(experiment, budget=None):
    run = Run(budget=Budget.parse(budget) if budget else None)
    return Recorder(experiment, run, experiment.first(run))


@pytest.mark.parametrize(
    ("budget", "allowed"),
    [(None, 100), ("40steps", 40), ("40examples", 40), ("2epochs", 60), ("0.5epochs", 15), ("1h", 100)],
)
def test_a_step_an_example_and_a_sample_are_one_thing(budget, allowed):
    assert recorder(COLUMN, budget).allowed == allowed


def test_what_is_no_budget_of_samples_is_refused():
    with pytest.raises(ValueError, match="needs a column"):
        recorder(Experiment(oracle=Tanh(), start=0.0), "3epochs")
    with pytest.raises(ValueError, match="less than one sample"):
        recorder(COLUMN, "0.01epochs")


@pytest.mark.parametrize("name", task.methods)
@pytest.mark.parametrize("budget", ["1000examples", "1000steps"])
def test_every_method_takes_as_many_samples_as_the_budget_says(name, budget):
    drawn = []

    class Counted(Normal):
        def begin(self, samples, runs, rng):
            drawn.append(0)
            return self

        def draw(self, count, runs, rng):
            if drawn:
                drawn[-1] += count
            return super().draw(count, runs, rng)

    experiment = mean_of(Counted(), samples=7, runs=2, interval=(-9, 9))
    method = task.method(name, None, {})
    fitted = method.fit(experiment, run=Run(budget=Budget.parse(budget)))
    assert fitted.samples[-1] == 1000
    assert set(drawn) == {1000}  # Full batches go through the same ones several times.


def test_seconds_end_a_fit_early_and_do_not_lengthen_it(monkeypatch):
    clock = [0.0]

    def tick():
        clock[0] += 0.01
        return clock[0]

    monkeypatch.setattr("assay.core.run.time.monotonic", tick)
    experiment = mean_of(Normal(), samples=10_000)
    run = Run(budget=Budget.parse("1s"))
    run.start_clock()
    fitted = ConstantStep().fit(experiment, run=run)
    assert 1000 < fitted.samples[-1] < 10_000  # The clock is looked at now and then.
    short = mean_of(Normal(), samples=50)
    assert ConstantStep().fit(short, run=Run(budget=Budget.parse("1h"))).samples[-1] == 50


@pytest.mark.parametrize(("allowed", "at_a_time"), [(1, 1), (5, 1), (1000, 1), (100_000, 1000), (60, 7)])
def test_snapshots_begin_at_the_start_end_at_the_end_and_are_few(allowed, at_a_time):
    experiment = mean_of(Normal(), samples=allowed)
    run = Run()
    kept = Recorder(experiment, run, np.array([-1.0]))
    for done in range(at_a_time, allowed + 1, at_a_time):
        assert kept.left == allowed - done + at_a_time
        assert kept.until_due >= 1
        kept.count(at_a_time, np.array([float(done)]))
    samples, trace = kept.trace(np.array([float(kept.samples)]))
    assert samples[0] == 0
    assert samples[-1] == kept.samples
    assert trace[0] == -1
    assert trace[1:, 0] == pytest.approx(samples[1:])
    assert (np.diff(samples) > 0).all()
    assert len(samples) <= 50


def test_progress_and_log_tell_how_far_it_is(tmp_path):
    told = []
    run = Run(folder=tmp_path, progress=lambda fraction, text: told.append((fraction, text)))
    ConstantStep().fit(mean_of(Normal(), samples=64, runs=5), run=run)
    run.close()
    assert told[-1] == (1.0, "64 samples")
    assert [fraction for fraction, _ in told] == sorted(fraction for fraction, _ in told)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert lines[-1]["step"] == 64
    assert {"mean", "spread"} <= set(lines[-1])


def test_a_snapshot_is_a_copy():
    w = np.zeros(1)
    kept = Recorder(Experiment(oracle=Mean(Normal()), start=0.0, samples=3), Run(), w)
    w += 5
    assert kept.trace(w)[1][0] == 0
