"""What happens inside a trial's own process: split, fit, predict, score, save; and what it cost."""

import dataclasses
import math
import os
import resource
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from assay.core.budget import Budget
from assay.core.files import write_json
from assay.core.run import Run
from assay.core.task import Task
from assay.core.trial import Cost, Result, Trial

_OUTPUT_KEPT = 64 * 1024  # bytes of what a method prints


def execute(trial: Trial, task: Task, data: Any, method: Any, folder: Path) -> Result:
    """Runs the trial in this process; writes result.json, log.jsonl and model/."""
    run = Run(
        seed=trial.seed,
        budget=Budget.parse(trial.budget) if trial.budget else None,
        scale=trial.scale,  # type: ignore[arg-type]
        folder=folder,
        threads=trial.threads,
        device=trial.device,
        precision=trial.precision,
        progress=_progress_file(folder / "progress"),
    )
    try:
        result = _measured(task, data, method, run, folder)
    except MemoryError as error:
        result = Result(status="memory", error=f"out of memory: {error}" if str(error) else "out of memory")
    except Exception as error:
        words = " ".join(str(error).split())  # Some messages have several lines.
        result = Result(
            status="error",
            error=f"{type(error).__name__}: {words}" if words else type(error).__name__,
            traceback=traceback.format_exc(),
        )
    finally:
        run.close()
    write_json(folder / "result.json", result.to_json())
    write_json(folder / "trial.json", dataclasses.asdict(trial))
    (folder / "progress").unlink(missing_ok=True)
    return result


def _measured(task: Task, data: Any, method: Any, run: Run, folder: Path) -> Result:
    train, test = task.split(data, run.seed)
    baseline = reset_peak_memory()
    run.start_clock()
    fit = _Clock()
    model = task.fit(method, train, run)
    fit_wall, fit_cpu = fit.read()
    predict = _Clock()
    outputs = task.predict(model, test, run)
    predict_wall, predict_cpu = predict.read()
    peak = max(peak_memory() - baseline, 0)
    device_memory = _device_memory(run.device)
    metrics = {name: float(value) for name, value in task.score(outputs, test).items()}
    bad = [name for name, value in metrics.items() if not math.isfinite(value)]
    if bad:
        words = "is not a finite number" if len(bad) == 1 else "are not finite numbers"
        return Result(status="nan", error=f"{', '.join(bad)} {words}")
    curve = tuple((float(step), float(value)) for step, value in task.curve(model, test))
    for step, value in curve:
        if not math.isfinite(value):
            words = f"the learning curve is not a finite number at {task.curve_axis()} {step:g}"
            return Result(status="nan", error=words)
    size = None
    (folder / "model").mkdir()
    if task.save_model(model, folder / "model"):
        size = sum(file.stat().st_size for file in (folder / "model").rglob("*") if file.is_file())
    else:
        (folder / "model").rmdir()
    cost = Cost(
        fit_wall=fit_wall,
        fit_cpu=fit_cpu,
        predict_wall=predict_wall,
        predict_cpu=predict_cpu,
        peak_memory=peak,
        model_size=size,
        device_memory=device_memory,
    )
    rows = len(test) if hasattr(test, "__len__") else None
    return Result(status="ok", metrics=metrics, cost=cost, curve=curve, test_rows=rows)


class _Clock:
    """Wall and CPU seconds since it was made; CPU counts all threads and finished child processes."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), self._cpu_now()

    def read(self) -> tuple[float, float]:
        return time.perf_counter() - self._wall, self._cpu_now() - self._cpu

    @staticmethod
    def _cpu_now() -> float:
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return time.process_time() + children.ru_utime + children.ru_stime


def reset_peak_memory() -> int:
    """Bytes resident now; from here on the kernel's high-water mark counts anew, where it can."""
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return peak_memory()


def peak_memory() -> int:
    """The most bytes that were resident since `reset_peak_memory`."""
    try:
        with open("/proc/self/status") as file:
            for line in file:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _device_memory(device: str) -> int | None:
    """Peak bytes that torch allocated on the device; the process is the trial's own, so all of it counts."""
    torch: Any = sys.modules.get("torch")
    if device == "cpu" or torch is None:
        return None
    return int(torch.cuda.max_memory_allocated(device))


def _progress_file(path: Path) -> Callable[[float, str], None]:
    """A progress callback that leaves its latest word in a small file, at most five times a second."""
    last = 0.0

    def report(fraction: float, text: str) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= 0.2:
            last = now
            path.write_text(f"{fraction:.4f} {text}"[:200], "utf-8")

    return report


def redirect_output(path: Path) -> None:
    """Sends what this process prints, from Python or C, to a file."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o644)
    for stream in (1, 2):
        os.dup2(handle, stream)
    os.close(handle)
    sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)


def shorten_output(path: Path) -> None:
    """Keeps the end of a long output file, and removes an empty one."""
    if not path.exists():
        return
    size = path.stat().st_size
    if size == 0:
        path.unlink()
    elif size > _OUTPUT_KEPT:
        with open(path, "rb") as file:
            file.seek(-_OUTPUT_KEPT, os.SEEK_END)
            tail = file.read()
        path.write_bytes(f"[{size - _OUTPUT_KEPT} bytes left out]\n".encode() + tail)
