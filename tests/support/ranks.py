"""Runs a piece of code on several gloo ranks, real processes, and brings back what each of them found."""

import json
import os
import socket
import subprocess
import sys
import textwrap

_BEFORE = """
import json, os, sys
import torch
torch.set_num_threads(1)
import torch.distributed as dist
rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
if world > 1:
    dist.init_process_group("gloo", rank=rank, world_size=world)
"""
_AFTER = """
with open(sys.argv[1], "w") as file:
    json.dump(result, file)
if dist.is_initialized():
    dist.barrier()
    dist.destroy_process_group()
sys.stdout.flush()
os._exit(0)  # Threads of gloo may still run, and C++ ends a process that is torn down under them.
"""


def run_ranks(code, world, folder, *, timeout=120, **variables):
    """What `code` leaves in `result`, JSON-able, on each of `world` ranks; `rank` and `world` are there.

    Raises:
        AssertionError: a rank failed; the message is what it printed.
    """
    script = folder / "script.py"
    script.write_text(_BEFORE + textwrap.dedent(code) + _AFTER)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    here = os.path.dirname(__file__)
    path = os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])
    shared = {"WORLD_SIZE": world, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "PYTHONPATH": path}
    outputs = [folder / f"output-{world}-{rank}.txt" for rank in range(world)]
    results = [folder / f"result-{world}-{rank}.json" for rank in range(world)]
    processes = []
    for rank in range(world):
        surroundings = shared | {"RANK": rank, "LOCAL_RANK": rank, "OMP_NUM_THREADS": 1} | variables
        environment = os.environ | {name: str(value) for name, value in surroundings.items()}
        with open(outputs[rank], "w") as output:
            command = [sys.executable, str(script), str(results[rank])]
            processes.append(subprocess.Popen(command, env=environment, stdout=output, stderr=output))
    try:
        for process, output in zip(processes, outputs, strict=True):
            assert process.wait(timeout) == 0, output.read_text()[-3000:]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    return [json.loads(result.read_text()) for result in results]
