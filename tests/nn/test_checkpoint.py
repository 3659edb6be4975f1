"""Names here and on disk, strict loading, and files that are whole or not there."""

import json
from dataclasses import dataclass

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from assay.nn.checkpoint import (
    NameTable,
    class_names,
    config_from_json,
    config_to_json,
    fill,
    read_config,
    read_tensors,
    write_checkpoint,
)

TABLE = NameTable(
    (
        ("token", "net.token"),
        ("blocks.{}.qkv", ("net.layer.{}.q", "net.layer.{}.k", "net.layer.{}.v")),
        ("blocks.{}.parts.{}", "net.layer.{}.sub.{}.dense"),
        ("norm", "net.norm"),
    )
)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.token = nn.Parameter(torch.randn(3))
        block = nn.ModuleDict({"qkv": nn.Linear(2, 6), "parts": nn.ModuleList()})
        block["parts"].extend([nn.Linear(2, 3), nn.Linear(3, 2)])
        self.blocks = nn.ModuleList([block])
        self.norm = nn.BatchNorm1d(2)


@dataclass(frozen=True)
class Config:
    num_classes: int = 3
    sizes: tuple[int, ...] = (1, 2)


def filled(net, tensors, tables=(TABLE,), ignorable=()):
    fill(net, tensors, tables, where="here", ignorable=ignorable)
    return net


# Names


def test_names_there_and_back():
    state = Net().state_dict()
    there = TABLE.to_disk(state)
    assert set(there) == {
        "net.token",
        *(f"net.layer.0.{part}.{kind}" for part in "qkv" for kind in ("weight", "bias")),
        *(f"net.layer.0.sub.{i}.dense.{kind}" for i in (0, 1) for kind in ("weight", "bias")),
        *(f"net.norm.{kind}" for kind in ("weight", "bias", "running_mean", "running_var")),
        "net.norm.num_batches_tracked",
    }
    assert torch.equal(there["net.layer.0.k.weight"], state["blocks.0.qkv.weight"][2:4])
    back = TABLE.from_disk(there)
    assert back.keys() == state.keys()
    assert all(torch.equal(back[name], state[name]) for name in state)


def test_a_name_without_a_place_on_disk_is_a_mistake():
    with pytest.raises(KeyError, match=r"no name on disk for 'head\.weight'"):
        TABLE.to_disk({"head.weight": torch.zeros(1)})


def test_a_prefix_can_be_missing():
    names = TABLE.without("net.").to_disk(Net().state_dict())
    assert "token" in names
    assert "layer.0.q.weight" in names


# Loading


def test_the_layout_that_fits_is_found():
    source = Net()
    shorter = TABLE.without("net.")
    net = filled(Net(), shorter.to_disk(source.state_dict()), (TABLE, shorter))
    assert all(torch.equal(t, net.state_dict()[n]) for n, t in source.state_dict().items())


def test_every_kind_of_mismatch_is_listed():
    tensors = TABLE.to_disk(Net().state_dict())
    del tensors["net.layer.0.k.bias"]
    tensors["net.norm.weight"] = torch.zeros(3)
    tensors["net.more"] = torch.zeros(1)
    with pytest.raises(ValueError, match="here: the tensors are not those of this model") as raised:
        filled(Net(), tensors)
    for part in (
        "1 missing: net.layer.0.k.bias",
        "1 unexpected: net.more",
        "net.norm.weight [3] for [2]",
    ):
        assert part in str(raised.value)


def test_long_lists_are_cut():
    tensors = TABLE.to_disk(Net().state_dict()) | {f"x{i}": torch.zeros(1) for i in range(20)}
    with pytest.raises(ValueError, match=r"20 unexpected: x0, x1, .* and 12 more$"):
        filled(Net(), tensors)


def test_a_failed_loading_leaves_the_module_as_it_was():
    net = Net()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    tensors = {name: tensor + 1 for name, tensor in TABLE.to_disk(Net().state_dict()).items()}
    del tensors["net.token"]
    with pytest.raises(ValueError):
        filled(net, tensors)
    assert all(torch.equal(before[n], t) for n, t in net.state_dict().items())


def test_named_buffers_may_be_missing_or_left_over():
    tensors = TABLE.to_disk(Net().state_dict())
    del tensors["net.norm.num_batches_tracked"]
    tensors["net.position_ids"] = torch.arange(3)
    filled(Net(), tensors, ignorable=("num_batches_tracked", "position_ids"))
    with pytest.raises(ValueError, match=r"num_batches_tracked.*position_ids"):
        filled(Net(), tensors)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_module_takes_the_dtype_of_the_file(dtype):
    tensors = TABLE.to_disk(Net().to(dtype).state_dict())
    net = filled(Net(), tensors)
    assert net.token.dtype == dtype
    assert net.norm.num_batches_tracked.dtype == torch.int64


# Files


def test_files_are_written_and_read(tmp_path):
    state = TABLE.to_disk(Net().state_dict())
    write_checkpoint(tmp_path / "new", {"model_type": "net"}, state)
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["config.json", "model.safetensors"]
    assert read_config(tmp_path / "new") == {"model_type": "net"}
    again = read_tensors(tmp_path / "new")
    assert all(torch.equal(again[name], state[name]) for name in state)


def test_views_and_transposed_tensors_are_written_whole(tmp_path):
    base = torch.arange(6.0).view(2, 3)
    write_checkpoint(tmp_path, {}, {"a": base[:1], "b": base[1:], "c": base.T})
    again = read_tensors(tmp_path)
    assert torch.equal(again["c"], base.T)
    assert torch.equal(torch.cat([again["a"], again["b"]]), base)


def test_an_interrupted_writing_leaves_the_old_file(tmp_path, monkeypatch):
    write_checkpoint(tmp_path, {}, {"a": torch.zeros(1)})
    import safetensors.torch

    def broken(tensors, path, metadata):
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(safetensors.torch, "save_file", broken)
    with pytest.raises(OSError, match="disk full"):
        write_checkpoint(tmp_path, {}, {"a": torch.ones(1)})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.json", "model.safetensors"]
    assert read_tensors(tmp_path)["a"] == 0


def test_shards_are_joined(tmp_path):
    save_file({"a": torch.zeros(1)}, tmp_path / "model-1.safetensors")
    save_file({"b": torch.ones(1)}, tmp_path / "model-2.safetensors")
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert set(read_tensors(tmp_path)) == {"a", "b"}
    index["weight_map"]["c"] = "../outside.safetensors"
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match=r"expected the file \.\./outside\.safetensors"):
        read_tensors(tmp_path)


def test_a_pickle_is_not_read(tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(ValueError, match=r"pytorch_model\.bin is a pickle, which is not read"):
        read_tensors(tmp_path)


def test_damaged_files_are_named(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(ValueError, match=r"model\.safetensors: expected tensors in the safetensors format"):
        read_tensors(tmp_path)
    with pytest.raises(ValueError, match=r"config\.json: expected a model's configuration"):
        read_config(tmp_path)
    (tmp_path / "config.json").write_text("[1]")
    with pytest.raises(ValueError, match="expected a JSON object, got list"):
        read_config(tmp_path)


# Configurations


def test_a_classifiers_configuration_there_and_back():
    written = config_to_json(
        Config(), family="Net", model_type="net", dtype=torch.float32, classes=("a", "b", "c")
    )
    assert written == {
        "sizes": [1, 2],
        "architectures": ["NetForImageClassification"],
        "model_type": "net",
        "dtype": "float32",
        "id2label": {"0": "a", "1": "b", "2": "c"},
        "label2id": {"a": 0, "b": 1, "c": 2},
    }
    assert Config(**config_from_json(written, Config)) == Config()
    assert class_names(written) == ("a", "b", "c")


def test_classes_stay_in_their_order_beyond_ten():
    names = tuple(f"c{i}" for i in range(12))
    written = config_to_json(Config(12), family="N", model_type="n", dtype=torch.float32, classes=names)
    assert class_names(json.loads(json.dumps(written, sort_keys=True))) == names


def test_a_backbone_has_no_classes_and_a_silent_file_two():
    written = config_to_json(Config(0), family="Net", model_type="net", dtype=torch.float32)
    assert written["architectures"] == ["NetModel"]
    assert "id2label" not in written
    assert config_from_json(written, Config)["num_classes"] == 0
    assert config_from_json({}, Config) == {"num_classes": 2}
    assert class_names({}) == ()


def test_as_many_names_as_classes():
    with pytest.raises(ValueError, match="expected 3 names of classes, got 1"):
        config_to_json(Config(), family="N", model_type="n", dtype=torch.float32, classes=("a",))
