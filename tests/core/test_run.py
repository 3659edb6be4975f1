import json
import time

import numpy as np
import pytest

from assay.core.budget import Budget
from assay.core.run import Run


def test_generators_depend_on_seed_and_stream_only():
    def draw(seed, *stream):
        return Run(seed=seed).rng(*stream).random(4).tolist()

    assert draw(1, "split") == draw(1, "split")
    drawn = [draw(1, "split"), draw(2, "split"), draw(1, "start"), draw(1, "split", 0), draw(1)]
    assert len({tuple(d) for d in drawn}) == len(drawn)


def test_global_random_state_is_not_touched():
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    Run(seed=3).rng("a").random()
    assert np.array_equal(np.random.get_state()[1], state)  # noqa: NPY002


def test_log_is_json_lines_of_rank_zero(tmp_path):
    run = Run(folder=tmp_path)
    run.log(1, loss=0.5, accuracy=np.float32(0.25))
    run.log(2, loss=0.25)
    run.close()
    records = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [(r["step"], r["loss"]) for r in records] == [(1, 0.5), (2, 0.25)]
    assert records[0]["accuracy"] == 0.25
    assert records[1]["seconds"] >= records[0]["seconds"] >= 0
    Run(folder=tmp_path / "none", rank=1, world=2).log(1, loss=1.0)
    Run().log(1, loss=1.0)
    assert [path.name for path in tmp_path.iterdir()] == ["log.jsonl"]


def test_spent_counts_what_the_budget_counts():
    assert Run().spent(steps=10**9) == 0
    run = Run(budget=Budget(10, "steps"))
    assert run.spent(steps=5) == pytest.approx(0.5)
    assert run.spent(steps=50) == 1
    assert run.spent(epochs=50) == 0
    clock = Run(budget=Budget(0.02, "seconds"))
    clock.start_clock()
    assert clock.spent() < 1
    time.sleep(0.03)
    assert clock.spent() == 1
