import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import SafetensorError
from torch import nn

from assay.core.run import Run
from assay.train.batches import Batches
from assay.train.checkpoint import Checkpoint, read, write
from assay.train.ema import Ema
from assay.train.loop import train
from assay.train.optimizers import adamw

SCRIPT = Path(__file__).parents[1] / "support" / "killed_training.py"


@pytest.fixture(scope="module")
def digests(tmp_path_factory):
    """What the script printed, and the folder of its trainings."""
    folder = tmp_path_factory.mktemp("killed")
    words = [sys.executable, str(SCRIPT), str(folder), "fp32", "fp16"]
    done = subprocess.run(words, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout), folder


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_killed_in_the_middle_it_ends_with_the_same_bits(digests, precision):
    whole, killed = digests[0][precision]
    assert whole == killed
    folder = digests[1] / precision
    logs = []
    for name in ("whole", "killed"):
        lines = [json.loads(line) for line in (folder / name / "log.jsonl").read_text().splitlines()]
        logs.append([{key: value for key, value in line.items() if key != "seconds"} for line in lines])
    assert logs[0] == logs[1]
    assert [line["step"] for line in logs[1]] == list(range(1, 41))
    assert not [path for path in (folder / "killed").iterdir() if path.is_file() and path.name[0] == "."]


def problem():
    rng = torch.Generator().manual_seed(0)
    model = nn.Linear(3, 2)
    with torch.no_grad():
        model.weight.copy_(torch.randn(2, 3, generator=rng))
        model.bias.zero_()
    x = torch.randn(24, 3, generator=rng)
    return model, Batches(x, 4, np.random.default_rng(0)), lambda x: {"loss": model(x).square().mean()}


def train_in(folder, steps, *, model=None, every=2, **options):
    fresh, batches, loss_fn = problem()
    model = model or fresh
    run = Run(folder=folder, checkpoint_every=every)
    optimizer = adamw(model, 0.1)
    if model is not fresh:
        loss_fn = lambda x: {"loss": model(x).square().mean()}  # noqa: E731
    history = train(loss_fn, batches, optimizer, run, model=model, steps=steps, **options)
    run.close()
    return model, history


class TestCheckpoint:
    def test_a_finished_training_gives_its_history_at_once(self, tmp_path):
        model, history = train_in(tmp_path, 6)
        again, same = train_in(tmp_path, 6)
        assert same == history
        assert torch.equal(model.weight, again.weight)

    def test_more_steps_go_on_from_the_last_checkpoint(self, tmp_path):
        (tmp_path / "a").mkdir()
        (tmp_path / "b").mkdir()
        train_in(tmp_path / "a", 5)
        longer, history = train_in(tmp_path / "a", 9)
        whole, expected = train_in(tmp_path / "b", 9)
        assert torch.equal(longer.weight, whole.weight)
        assert [r.values for r in history.records] == [r.values for r in expected.records]

    def test_is_written_when_due_and_only_with_a_folder(self, tmp_path):
        part = {"model": nn.Linear(2, 2)}
        checkpoint = Checkpoint(Run(folder=tmp_path, checkpoint_every=3), part)
        assert [step for step in range(1, 10) if checkpoint.due(step)] == [3, 6, 9]
        for run in (Run(checkpoint_every=3), Run(folder=tmp_path)):
            without = Checkpoint(run, part)
            assert not without.due(3)
            without.save({})
            assert without.load() is None
        assert checkpoint.load() is None
        assert not list(tmp_path.iterdir())

    def test_every_kind_of_state_comes_back(self, tmp_path):
        class Part:
            state = None

            def state_dict(self):
                return self.state

            def load_state_dict(self, state):
                self.state = state

        part, run = Part(), Run(folder=tmp_path, checkpoint_every=1)
        rng = np.random.default_rng(3)
        part.state = {
            "numbers": [1, 2.5, None, True, "text", 10**30],
            0: {"tuple": (1, (2, torch.arange(3))), "tensor": torch.zeros(2, 0)},
            "half": torch.ones(2, dtype=torch.bfloat16),
            "scalar": torch.tensor(3.5, dtype=torch.float64),
            "generator": rng.bit_generator.state,
            "numpy": np.float64(0.1),
            "strided": torch.arange(6).reshape(2, 3).T,
            "shared": [torch.ones(3)[:2], torch.ones(3)],
        }
        expected = part.state
        torch_state = torch.get_rng_state()
        Checkpoint(run, {"part": part}).save({"a": 1})
        torch.rand(3)
        part.state = None
        assert Checkpoint(run, {"part": part}).load() == {"a": 1}
        assert torch.equal(torch.get_rng_state(), torch_state)
        found = part.state
        assert found["numbers"] == expected["numbers"]
        assert found["generator"] == expected["generator"]
        assert found["numpy"] == 0.1
        assert found[0]["tuple"][1][0] == 2
        for a, b in (
            (found[0]["tuple"][1][1], torch.arange(3)),
            (found[0]["tensor"], torch.zeros(2, 0)),
            (found["half"], expected["half"]),
            (found["scalar"], expected["scalar"]),
            (found["strided"], expected["strided"]),
        ):
            assert a.dtype == b.dtype
            assert torch.equal(a, b)

    def test_what_cannot_be_kept_is_named_and_leaves_the_last_one(self, tmp_path):
        class Part:
            state = {"a": 1}  # noqa: RUF012

            def state_dict(self):
                return self.state

            def load_state_dict(self, state):
                pass

        part = Part()
        checkpoint = Checkpoint(Run(folder=tmp_path, checkpoint_every=1), {"part": part})
        checkpoint.save({"step": 1})
        part.state = {"a": {"b": object()}}  # type: ignore[dict-item]
        with pytest.raises(TypeError, match=r"got object in \.part\.a\.b"):
            checkpoint.save({"step": 2})
        assert checkpoint.load() == {"step": 1}
        assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


class TestMistakes:
    def test_a_full_disk_is_said_and_leaves_the_last_one(self, tmp_path, monkeypatch):
        def full(tensors, path):
            path.write_bytes(b"half")
            raise SafetensorError("No space left on device")

        path = tmp_path / "checkpoint"
        write(path, {"a": torch.zeros(1)}, {"format": 1, "step": 1})
        monkeypatch.setattr("safetensors.torch.save_file", full)
        with pytest.raises(OSError, match=r"checkpoint: the checkpoint could not be written: No space left"):
            write(path, {"a": torch.ones(1)}, {"format": 1, "step": 2})
        assert read(path)[1]["step"] == 1
        assert os.listdir(tmp_path) == ["checkpoint"]

    def test_damage_is_named(self, tmp_path):
        train_in(tmp_path, 4)
        tensors = tmp_path / "checkpoint" / "tensors.safetensors"
        content = bytearray(tensors.read_bytes())
        content[-1] ^= 1
        tensors.write_bytes(bytes(content))
        with pytest.raises(ValueError, match=r"checkpoint: expected a checkpoint, got .*digest differ"):
            train_in(tmp_path, 6)
        tensors.unlink()
        with pytest.raises(ValueError, match="checkpoint: expected a checkpoint"):
            train_in(tmp_path, 6)

    def test_another_trainings_checkpoint_is_refused(self, tmp_path):
        train_in(tmp_path, 4)
        with pytest.raises(ValueError, match="it does not fit this training's model"):
            train_in(tmp_path, 6, model=nn.Linear(3, 5))
        with pytest.raises(ValueError, match=r"expected .*'ema'.*, got"):
            train_in(tmp_path, 6, ema=Ema(nn.Linear(3, 2)))

    def test_another_format_is_refused(self, tmp_path):
        write(tmp_path / "c", {"a": torch.ones(1)}, {"format": 99})
        with pytest.raises(ValueError, match="expected a checkpoint"):
            read(tmp_path / "c")
