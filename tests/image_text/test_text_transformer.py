import pytest
import torch

from assay.image_text.text_transformer import (
    TextConfig,
    TextTransformer,
    block_names,
    blocks,
    end_of_text,
    picked,
    state_at,
    text_names,
)
from assay.nn.checkpoint import NameTable

CONFIG = TextConfig(
    vocab_size=40,
    hidden_size=24,
    intermediate_size=40,
    num_hidden_layers=3,
    num_attention_heads=4,
    max_position_embeddings=12,
    hidden_act="gelu",
)
PLACES = torch.tensor([4, 0, 7, 2])


def tokens():
    return torch.randint(0, 40, (4, 10), generator=torch.Generator().manual_seed(0))


def tower(*, causal):
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(1)
        return TextTransformer(CONFIG, causal=causal).double()


@pytest.mark.parametrize("causal", [True, False])
def test_one_state_is_that_of_all_states_with_its_gradient(causal):
    model = tower(causal=causal)
    cotangent = torch.randn(4, 24, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    found = {}
    for name in ("all", "one"):
        model.zero_grad()
        rows = torch.arange(4)
        states = model(tokens())[rows, PLACES] if name == "all" else model.at(tokens(), PLACES)
        (states * cotangent).sum().backward()
        found[name] = (states.detach(), [p.grad.clone() for p in model.parameters()])
    assert (found["all"][0] - found["one"][0]).abs().max() < 1e-12
    for whole, short in zip(found["all"][1], found["one"][1], strict=True):
        assert (whole - short).abs().max() < 1e-11


def test_what_stands_behind_is_not_computed():
    model = tower(causal=True)
    seen = []
    model.blocks[0].register_forward_hook(lambda module, inputs, out: seen.append(inputs[0].shape[1]))
    model.at(tokens(), PLACES)
    assert seen == [8]  # The farthest place is 7.
    filled = torch.cat([tokens()[:, :8], torch.full((4, 4), 39)], dim=1)
    assert torch.equal(model.at(filled, PLACES), model.at(tokens()[:, :8], PLACES))


def test_the_last_block_reads_only_what_it_may():
    block = blocks(CONFIG)[0].double()
    x = torch.randn(4, 6, 24, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    places = torch.tensor([2, 5, 0, 3])
    hidden = torch.arange(6)[None] > places[:, None]
    changed = torch.where(hidden[:, :, None], 9.0, x)
    one = state_at(block, x, places, hidden)
    assert torch.equal(one, state_at(block, changed, places, hidden))
    assert not torch.allclose(state_at(block, x, places), state_at(block, changed, places))
    assert (one - block(x, causal=True)[torch.arange(4), places]).abs().max() < 1e-12


def test_ends_are_found_as_checkpoints_define_them():
    row = torch.tensor([[0, 7, 63, 9, 5, 1, 1]])
    assert end_of_text(row, 2).tolist() == [2]
    assert end_of_text(row, 5).tolist() == [4]
    assert end_of_text(torch.tensor([[3, 5, 8, 5]]), 5).tolist() == [1]  # The first one counts.


def test_blocks_start_smaller_the_deeper_the_tower_is():
    deep = TextConfig(hidden_size=64, intermediate_size=256, num_hidden_layers=8, num_attention_heads=4)
    block = blocks(deep)[0]
    assert block.attention.qkv.weight.std().item() == pytest.approx(64**-0.5, rel=0.05)
    assert block.attention.out.weight.std().item() == pytest.approx((2 * 8 * 64) ** -0.5, rel=0.1)
    assert block.mlp.fc1.weight.std().item() == pytest.approx((2 * 64) ** -0.5, rel=0.05)
    assert block.mlp.fc2.weight.std().item() == pytest.approx((2 * 8 * 64) ** -0.5, rel=0.05)
    assert not any(layer.bias.any() for layer in (block.attention.qkv, block.mlp.fc1, block.mlp.fc2))


def test_names_on_disk_have_queries_keys_and_values_apart():
    table = NameTable(text_names("text", "text_model"))
    model = torch.nn.ModuleDict({"text": tower(causal=True)})
    disk = table.to_disk(model.state_dict())
    qkv = model["text"].blocks[1].attention.qkv.weight
    for part, letter in zip(qkv.chunk(3), "qkv", strict=True):
        name = f"text_model.encoder.layers.1.self_attn.{letter}_proj.weight"
        assert torch.equal(disk[name], part)
    back = table.from_disk(disk)
    assert all(torch.equal(back[name], t) for name, t in model.state_dict().items())
    assert len(block_names("a", "b")) == 6


def test_a_configuration_takes_what_it_knows():
    found = picked(TextConfig, {"hidden_size": 32, "attention_dropout": 0.0, "model_type": "clip_text_model"})
    assert found == TextConfig(hidden_size=32)
