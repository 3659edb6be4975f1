"""Checkpoints: everything a training needs to go on as if it had never stopped, to the last bit.

A checkpoint is a folder with tensors.safetensors and state.json, which appears whole or not at all. Divided
tensors are written whole, so that another number of ranks can go on; what each rank draws at random is kept
per rank, and drawn anew by ranks that were not there.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.distributed as dist
from torch import Tensor

from assay.core.files import atomic_folder, write_json
from assay.core.run import Run
from assay.train.division import divided_as, whole
from assay.train.ema import Ema
from assay.train.seeding import card

_FORMAT = 1


class Stateful(Protocol):
    """What can be kept and brought back: models, optimizers, scalers, means, feeds."""

    def state_dict(self) -> Any:
        """The state."""
        ...

    def load_state_dict(self, state: Any, /) -> Any:
        """Goes on where `state_dict` was called."""
        ...


class Checkpoint:
    """The latest checkpoint of a training, at `folder/checkpoint`; without a folder, none.

    Args:
        run: folder, steps between checkpoints, device, rank and world.
        parts: what is kept, by name.
    """

    def __init__(self, run: Run, parts: Mapping[str, Stateful]) -> None:
        self._run, self._every, self._parts = run, run.checkpoint_every, parts
        used = run.folder is not None and run.checkpoint_every is not None
        self._path = run.folder / "checkpoint" if used and run.folder is not None else None

    def due(self, step: int) -> bool:
        """Whether a checkpoint is to be written after this step."""
        return self._path is not None and self._every is not None and step % self._every == 0

    def save(self, facts: Mapping[str, Any]) -> None:
        """Writes the state of all parts, and `facts`, JSON-able. Every rank must call it."""
        if self._path is None:
            return
        states = {name: part.state_dict() for name, part in self._parts.items()}
        tensors: dict[str, Tensor] = {}
        tree = _taken_apart({**states, "random": _random_states(self._run)}, "", tensors)
        if self._run.rank == 0:
            write(self._path, tensors, {"format": _FORMAT, "facts": dict(facts), "parts": tree})
        if self._run.world > 1:
            dist.barrier()

    def load(self) -> dict[str, Any] | None:
        """Brings all parts back and returns the facts; None when there is no checkpoint.

        Raises:
            ValueError: the checkpoint is damaged or another training's.
        """
        if self._path is None or not self._path.exists():
            return None
        tensors, state = read(self._path)
        states = _put_together(state["parts"], tensors)
        if set(states) != {*self._parts, "random"}:
            raise ValueError(f"{self._path}: expected {sorted(self._parts)}, got {sorted(states)}")
        for name, part in self._parts.items():
            try:
                part.load_state_dict(_divided_like(states[name], part))
            except (KeyError, RuntimeError, TypeError) as error:
                raise ValueError(f"{self._path}: it does not fit this training's {name}: {error}") from error
        _restore_random(states["random"], self._run)
        return state["facts"]


def write(path: Path, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
    """Writes tensors and a JSON-able state to a folder, which appears whole or not at all.

    Raises:
        OSError: it cannot be written; an earlier checkpoint there stays.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    kept = {name: tensor.contiguous() for name, tensor in tensors.items()}
    try:
        with atomic_folder(path) as folder:
            save_file(kept, folder / "tensors.safetensors")
            digest = hashlib.sha256((folder / "tensors.safetensors").read_bytes()).hexdigest()
            write_json(folder / "state.json", {"sha256": digest, **state})
    except (OSError, SafetensorError) as error:
        raise OSError(f"{path}: the checkpoint could not be written: {error}") from error


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and the state that `write` wrote.

    Raises:
        ValueError: a file is missing, damaged or of another format.
    """
    from safetensors.torch import load

    try:
        state = json.loads((path / "state.json").read_text("utf-8"))
        content = (path / "tensors.safetensors").read_bytes()
        if state["format"] != _FORMAT or hashlib.sha256(content).hexdigest() != state["sha256"]:
            raise ValueError("format or digest differ")
        return load(content), state
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: expected a checkpoint, got {error!r}") from error


def _taken_apart(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """`value` as JSON, its tensors replaced by their names in `tensors`; divided ones are made whole."""
    if isinstance(value, Tensor):
        tensors[name] = whole(value).detach().to("cpu", copy=True)
        return {"tensor": name}
    if isinstance(value, Mapping):
        return {"items": [[key, _taken_apart(item, f"{name}.{key}", tensors)] for key, item in value.items()]}
    if isinstance(value, tuple):
        return {"tuple": [_taken_apart(item, f"{name}.{i}", tensors) for i, item in enumerate(value)]}
    if isinstance(value, list):
        return [_taken_apart(item, f"{name}.{i}", tensors) for i, item in enumerate(value)]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:  # A NumPy scalar.
        return value.item()
    raise TypeError(f"expected a state of tensors, numbers and texts, got {type(value).__name__} in {name}")


def _put_together(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    """What `_taken_apart` took apart."""
    if isinstance(value, list):
        return [_put_together(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    if "tensor" in value:
        return tensors[value["tensor"]]
    if "tuple" in value:
        return tuple(_put_together(item, tensors) for item in value["tuple"])
    return {key: _put_together(item, tensors) for key, item in value["items"]}


def _divided_like(state: Any, part: Stateful) -> Any:
    """`state` with whole tensors divided as the part's own are."""
    if isinstance(part, Ema):
        return {**state, "mean": _divided_like(state["mean"], part.model)}
    if isinstance(part, torch.nn.Module):
        own = part.state_dict()
        return {name: divided_as(own.get(name), value) for name, value in state.items()}
    return state


def _random_states(run: Run) -> dict[str, list[Tensor]]:
    """The states of torch's generators, one for each rank."""
    device = torch.device(run.device)
    found = {"cpu": torch.get_rng_state()}
    if device.type != "cpu":
        found[device.type] = card(device).get_state()
    return {name: _gathered(state, run, device) for name, state in found.items()}


def _gathered(state: Tensor, run: Run, device: torch.device) -> list[Tensor]:
    if run.world == 1:
        return [state]
    parts = [torch.empty_like(state, device=device) for _ in range(run.world)]
    dist.all_gather(parts, state.to(device))
    return [part.cpu() for part in parts]


def _restore_random(states: Mapping[str, list[Tensor]], run: Run) -> None:
    device = torch.device(run.device)
    if len(states["cpu"]) != run.world:
        return  # Another number of ranks draws other numbers in any case.
    torch.set_rng_state(states["cpu"][run.rank])
    if device.type in states and device.type != "cpu":
        card(device).set_state(states[device.type][run.rank])
