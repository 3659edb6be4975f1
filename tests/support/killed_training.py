"""A training with everything that has a state, in a process that can be killed.

`python killed_training.py FOLDER PRECISION ...` prints two digests per precision as JSON: of a training that
ran through, and of one that was killed twice. They are forked from one process, which has torch loaded.
"""

import hashlib
import json
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

from assay.core.run import Run
from assay.train.batches import Batches
from assay.train.ema import Ema
from assay.train.loop import train
from assay.train.optimizers import muon
from assay.train.schedule import cosine
from assay.train.seeding import seeded

STEPS = 40


def digest_of_training(folder, precision, slow):
    run = Run(seed=5, folder=folder, precision=precision, checkpoint_every=7)
    with seeded(run):
        model = nn.Sequential(
            nn.Linear(8, 16),
            nn.BatchNorm1d(16),
            nn.Dropout(0.3),
            nn.ReLU(),
            nn.Linear(16, 16),
            nn.Linear(16, 3),
        )
        rng = torch.Generator().manual_seed(0)
        x, y = torch.randn(60, 8, generator=rng), torch.randint(3, (60,), generator=rng)
        ema = Ema(model, 0.9)

        def loss_fn(x, y):
            noise = 0.1 * torch.randn(x.shape)  # The loss draws, too.
            return {"loss": nn.functional.cross_entropy(model(x + noise), y)}

        history = train(
            loss_fn,
            Batches((x, y), 8, run.rng("batches")),
            muon(model, 0.02, 0.01),
            run,
            model=model,
            steps=STEPS,
            schedule=cosine(),
            clip_norm=1.0,
            accumulate=2,
            after_step=lambda: time.sleep(slow),
            ema=ema,
        )
    run.close()
    digest = hashlib.sha256()
    for state in (model.state_dict(), ema.mean):
        for name in sorted(state):
            digest.update(np.ascontiguousarray(state[name].numpy()).tobytes())
    for record in history.records:
        digest.update(repr((record.step, record.examples, sorted(record.values.items()))).encode())
    return digest.hexdigest()


def forked(folder, precision, slow=0.0):
    """The process of a training, which leaves its digest in a file."""
    folder.mkdir(exist_ok=True)
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            (folder / "digest").write_text(digest_of_training(folder, precision, slow))
            status = 0
        finally:
            os._exit(status)
    return pid


def last_step(folder):
    try:
        return json.loads((folder / "log.jsonl").read_text().splitlines()[-1])["step"]
    except (OSError, IndexError, ValueError):
        return 0


def digests(folder, precision):
    folder.mkdir()
    assert os.waitpid(forked(folder / "whole", precision), 0)[1] == 0
    killed = folder / "killed"
    for least in (9, 24):  # Each time some steps after a checkpoint.
        pid = forked(killed, precision, slow=0.02)
        while last_step(killed) < least:
            assert os.waitpid(pid, os.WNOHANG) == (0, 0)
            time.sleep(0.002)
        os.kill(pid, signal.SIGKILL)
        assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGKILL
        assert last_step(killed) < STEPS
        assert not (killed / "digest").exists()
    assert os.waitpid(forked(killed, precision), 0)[1] == 0
    return [(folder / name / "digest").read_text() for name in ("whole", "killed")]


if __name__ == "__main__":
    torch.set_num_threads(1)
    here = Path(sys.argv[1])
    (here / "warm").mkdir()
    digest_of_training(here / "warm", "fp32", 0.0)  # What torch loads at the first step, once for all.
    sys.stdout.write(json.dumps({name: digests(here / name, name) for name in sys.argv[2:]}))
