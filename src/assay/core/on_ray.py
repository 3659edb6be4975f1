"""Hands trials to a Ray cluster: each Ray task runs one trial through the same scheduler and limits.

Data and results travel through Ray's object store, so that the nodes need no shared folder; assay must be
installed on them.
"""

import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from assay.core.files import atomic_folder
from assay.core.scheduler import Limits, run_trials
from assay.core.task import Task
from assay.core.trial import Result, Store, Trial

Files = dict[str, bytes]


def run_on_ray(
    task: Task, trials: Sequence[Trial], store: Store, data: Path, *, limits: Limits, live: Mapping[str, Any]
) -> Iterator[tuple[Trial, Result]]:
    """Yields every trial with its result as the cluster finishes them; starts a local Ray if none is running.

    Raises:
        ValueError: the package `ray` is not installed.
    """
    try:
        import ray
        from ray.exceptions import RayError
    except ModuleNotFoundError:
        raise ValueError("on='ray' needs the package ray: install assay[ray]") from None
    waiting = []
    for trial in trials:
        done = store.result(trial)
        if done is not None:
            yield trial, done
        else:
            waiting.append(trial)
    if not waiting:
        return
    if not ray.is_initialized():
        ray.init(log_to_driver=False, include_dashboard=False)
    shared = ray.put(_pack(data))
    # A user's module must be importable where the trial is unpacked; a path that a node lacks does no harm.
    paths = {"env_vars": {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}}
    remote = ray.remote(max_retries=2, runtime_env=paths)(_run_one)
    pending = {
        remote.options(num_cpus=trial.threads).remote(
            task, trial, shared, limits, {trial.name: live[trial.name]} if trial.spec is None else {}
        ): trial
        for trial in waiting
    }
    try:
        while pending:
            ready, _ = ray.wait(list(pending), num_returns=1)
            trial = pending.pop(ready[0])
            try:
                result, files = ray.get(ready[0])
            except RayError as error:
                yield trial, Result(status="killed", error=f"Ray: {str(error).strip().splitlines()[0]}")
                continue
            with atomic_folder(store.path(trial)) as folder:
                _unpack(files, folder)
            yield trial, result
    finally:
        for reference in pending:
            ray.cancel(reference, force=True)


def _run_one(
    task: Task, trial: Trial, data: Files, limits: Limits, live: Mapping[str, Any]
) -> tuple[Result, Files]:
    """On a node: unpacks the data, runs the trial in a process of its own, and packs its folder."""
    with tempfile.TemporaryDirectory(prefix="assay-") as scratch:
        folder = Path(scratch, "data")
        _unpack(data, folder)
        store = Store(Path(scratch, "runs"))
        [(_, result)] = run_trials(task, [trial], store, folder, limits=limits, live=live)
        return result, _pack(store.path(trial))


def _pack(folder: Path) -> Files:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def _unpack(files: Files, folder: Path) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
