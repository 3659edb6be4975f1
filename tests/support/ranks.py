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
    processes = []
    for rank in range(world):
        surroundings = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "OMP_NUM_THREADS": 1}
        surroundings |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, **variables}
        environment = os.environ | {name: str(value) for name, value in surroundings.items()}
        command = [sys.executable, str(script), str(folder / f"result-{world}-{rank}.json")]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        processes.append(subprocess.Popen(command, env=environment, **pipes))
    try:
        for process in processes:
            output, _ = process.communicate(timeout=timeout)
            assert process.returncode == 0, output[-3000:]
    finally:
        for process in processes:
            process.kill()
    return [json.loads((folder / f"result-{world}-{rank}.json").read_text()) for rank in range(world)]
