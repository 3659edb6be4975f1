import json
import os
from pathlib import Path

import pytest
import toy_task
from toy_task import Mean, Median, Trouble

from assay.core.method import identity, spec
from assay.core.scheduler import Limits, run_trials
from assay.core.trial import Result, Store, Trial

DATA = toy_task.task.load(scale="smoke")


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "runs")


def trial(method, seed=0):
    return Trial(
        task="toy",
        data=DATA.fingerprint(),
        name=type(method).__name__,
        spec=spec(method),
        code=identity(method),
        seed=seed,
        budget=None,
        scale="smoke",
        threads=1,
    )


def started(store, trials, **options):
    return run_trials(toy_task.task, trials, store, store.keep_data(toy_task.task, DATA), **options)


def hidden(store):
    """Scratch folders and locks that should not outlive a run."""
    return [path.name for path in store.folder.rglob(".*")]


def test_one_job_runs_trials_in_the_order_given(store, tmp_path):
    flag = str(tmp_path / "flag")
    trials = [trial(Trouble(how="count", flag=flag), seed) for seed in (3, 0, 2, 1)]
    outcome = list(started(store, trials, jobs=1))
    assert [ended for ended, _ in outcome] == trials
    assert Path(flag).read_text().split() == ["3", "0", "2", "1"]
    assert all(result == store.result(ended) for ended, result in outcome)
    assert hidden(store) == []


def test_no_more_run_at_a_time_than_there_are_jobs(store):
    seen = []
    trials = [trial(Median(seconds=0.05), seed) for seed in range(3)]
    outcome = list(started(store, trials, jobs=2, progress=lambda now: seen.append(len(now))))
    assert {ended for ended, _ in outcome} == set(trials)
    assert max(seen) == 2


def test_progress_is_told_each_trials_own_word(store):
    words = set()
    one = trial(Median(seconds=0.3))
    list(started(store, [one], progress=lambda now: words.update(now.items())))
    assert words <= {(one, ""), (one, "0.5000 burning")}
    assert (one, "0.5000 burning") in words


def test_a_quick_trial_ends_before_a_slow_one_that_started_first(store):
    slow, quick = trial(Trouble(how="sleep")), trial(Mean())
    outcome = started(store, [slow, quick], jobs=2)
    assert next(outcome)[0] == quick
    outcome.close()  # type: ignore[attr-defined]


def test_finished_trials_come_first_and_nothing_is_started_for_them(store, tmp_path):
    flag = tmp_path / "flag"
    trials = [trial(Trouble(how="count", flag=str(flag)), seed) for seed in range(3)]
    [(_, kept)] = started(store, trials[2:])
    outcome = list(started(store, trials))
    assert outcome[0] == (trials[2], kept)
    assert [ended.seed for ended, _ in outcome] == [2, 0, 1]
    assert flag.read_text().split() == ["2", "0", "1"]
    assert dict(started(store, trials)) == dict(outcome)
    assert flag.read_text().split() == ["2", "0", "1"]


def test_a_failure_is_kept_for_reading_and_the_rest_goes_on(store):
    expected = {
        "raise": Result(status="error", error="ValueError: the centre cannot hold"),
        "exit": Result(status="error", error="the process left with exit status 3 and no result"),
        "killed": Result(status="killed", error="the process was ended by signal 9"),
        "memory-error": Result(status="memory", error="out of memory"),
        "nan": Result(status="nan", error="squared error, absolute error are not finite numbers"),
    }
    bad, good = {how: trial(Trouble(how=how)) for how in expected}, trial(Mean())
    outcome = dict(started(store, [*bad.values(), good], jobs=2))
    assert {how: outcome[one] for how, one in bad.items()} == expected
    assert outcome[good].status == "ok"
    for how, one in bad.items():
        written = json.loads((store.path(one) / "result.json").read_text())
        assert Result.from_json(written) == expected[how]
        assert Trial(**json.loads((store.path(one) / "trial.json").read_text())) == one
        assert ("Traceback" in (outcome[one].traceback or "")) == (how == "raise")
        assert store.result(one) is None
    assert hidden(store) == []


def test_a_limit_of_time_ends_the_trial_and_not_the_next(store):
    bad, good = trial(Trouble(how="sleep")), trial(Mean())
    outcome = dict(started(store, [bad], limits=Limits(seconds=0.25)))
    assert outcome[bad] == Result(status="timeout", error="not finished after 0.25 s")
    assert dict(started(store, [good]))[good].status == "ok"
    assert hidden(store) == []


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
def test_a_limit_of_memory_ends_the_trial(store):
    bad = trial(Trouble(how="memory"))
    [(_, result)] = started(store, [bad], limits=Limits(memory=200_000_000))
    assert result.status == "memory"
    assert result.error is not None
    assert result.error.endswith(" MB, the limit is 200 MB")


def test_leaving_early_kills_what_runs_and_leaves_nothing(store):
    first, *sleepers = [trial(Mean()), *(trial(Trouble(how="sleep"), seed) for seed in range(2))]
    outcome = started(store, [first, *sleepers], jobs=1)
    assert next(outcome)[0] == first
    outcome.close()  # type: ignore[attr-defined]
    assert hidden(store) == []
    assert store.result(first) is not None
    assert not store.path(sleepers[0]).exists()
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    assert not children.exists() or not _trials_among(children.read_text().split())


def _trials_among(pids):
    return [pid for pid in pids if b"assay.core.host" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def test_what_a_killed_comparison_left_of_a_trial_is_removed_when_it_is_run(store):
    mine, other = trial(Mean(), 0), trial(Mean(), 1)
    folder = store.path(mine).parent
    for one in (mine, other):  # As `kill -9` leaves them.
        (folder / f".{one.key}-trial-abcdefgh").mkdir(parents=True)
        (folder / f".{one.key}-trial-abcdefgh" / "output.txt").write_text("half")
    [(_, result)] = started(store, [mine])
    assert result.status == "ok"
    assert hidden(store) == [f".{other.key}-trial-abcdefgh"]


def test_a_trial_that_another_process_runs_is_waited_for(store):
    mine, theirs = trial(Mean()), trial(Median())
    [(_, result)] = started(store, [mine])
    claim = store.claim(theirs)
    assert claim.__enter__()
    turns = 0

    def finish(now):
        nonlocal turns
        turns += 1
        assert theirs not in now
        if turns == 2:  # The other one is done: its folder appears, its lock goes.
            store.path(theirs).mkdir()
            (store.path(theirs) / "result.json").write_text(json.dumps(result.to_json()))
            claim.__exit__(None, None, None)

    assert list(started(store, [theirs], progress=finish)) == [(theirs, result)]
    assert turns >= 2


def test_a_trial_that_another_process_gave_up_is_run(store):
    theirs = trial(Median())
    claim = store.claim(theirs)
    assert claim.__enter__()
    turns = []

    def give_up(now):
        turns.append(now)
        if len(turns) == 2:
            claim.__exit__(None, None, None)

    [(_, result)] = started(store, [theirs], progress=give_up)
    assert result.status == "ok"
    assert store.result(theirs) == result
