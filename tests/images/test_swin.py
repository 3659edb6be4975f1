"""Swin: attention over explicit regions, transformers' class, and calls that leave no trace."""

import json

import hugging_face
import pytest
import torch
from safetensors.torch import load_file, save_file

from assay.images.swin import (
    PatchMerging,
    Swin,
    SwinBlock,
    SwinConfig,
    cut,
    joined,
    relative_index,
    resized_bias_table,
    shift_mask,
)

# Image, patch, window, depths, heads and widths all differ.
TINY = SwinConfig(
    num_classes=5, patch_size=2, embed_dim=12, depths=(2, 3), num_heads=(3, 4), window_size=5, mlp_ratio=2.0
)


def images(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def tiny(**changes):
    facts = {name: getattr(TINY, name) for name in SwinConfig.__dataclass_fields__}
    return hugging_face.randomised(Swin(SwinConfig(**facts | changes)))


def block(window=3, shift=1, dim=6, heads=2):
    config = SwinConfig(window_size=window, embed_dim=dim)
    return hugging_face.randomised(SwinBlock(config, dim, heads, shift=shift, drop_path_rate=0.0))


# Oracles


def looped(made, z, penalty=100.0):
    """Attention token by token: the window of each after the shift, and its region before it."""
    batch, height, width, dim = z.shape
    window, shift, heads = made.window, made.shift, made.attention.num_heads
    q, k, v = (
        (z @ w.T + b).view(batch, height, width, heads, -1)
        for w, b in zip(made.attention.qkv.weight.chunk(3), made.attention.qkv.bias.chunk(3), strict=True)
    )

    def place(row, column):
        """Window after the shift, whether the token was rolled over on each axis, and place in the window."""
        r, c = (row - shift) % height, (column - shift) % width
        return (r // window, c // window), (row < shift, column < shift), (r % window, c % window)

    places = {(r, c): place(r, c) for r in range(height) for c in range(width)}
    mixed = torch.zeros(batch, height, width, heads, dim // heads, dtype=z.dtype)
    for here, (its_window, its_roll, at) in places.items():
        scores, values = [], []
        for there, (a_window, a_roll, seen_at) in places.items():
            if a_window != its_window:
                continue
            down, right = at[0] - seen_at[0] + window - 1, at[1] - seen_at[1] + window - 1
            bias = made.bias_table[down * (2 * window - 1) + right]
            score = (q[:, *here] * k[:, *there]).sum(-1) / (dim // heads) ** 0.5 + bias
            scores.append(score - torch.where(torch.tensor(a_roll != its_roll), penalty, 0.0))
            values.append(v[:, *there])
        weights = torch.stack(scores).softmax(0)
        mixed[:, *here] = (weights[..., None] * torch.stack(values)).sum(0)
    return mixed.flatten(-2) @ made.attention.out.weight.T + made.attention.out.bias


@pytest.mark.parametrize("shift", [0, 1])
@pytest.mark.parametrize("size", [(6, 6), (6, 9)])
def test_attention_is_inside_windows_and_regions(shift, size):
    made, z = block(shift=shift), images(2, *size, 6)
    mid = z + looped(made, made.norm1(z))
    expected = mid + made.mlp(made.norm2(mid))
    assert torch.allclose(made(z), expected, rtol=0, atol=1e-10)


def test_offsets_are_query_minus_key():
    index = relative_index(2, 2)
    assert index.tolist() == [[4, 3, 1, 0], [5, 4, 2, 1], [7, 6, 4, 3], [8, 7, 5, 4]]


def test_a_smaller_window_takes_the_middle_of_the_table():
    small, large = relative_index(2, 4), relative_index(4, 4)
    corner = torch.tensor([0, 1, 4, 5])  # The 2 x 2 patches in the upper left of the 4 x 4 window.
    assert torch.equal(small, large[corner][:, corner])


def test_the_mask_parts_the_nine_regions():
    mask = shift_mask(6, 6, 3, 1)
    assert mask.shape == (4, 1, 9, 9)
    assert not mask[0].any()  # The first window is whole.
    last = mask[3, 0]
    groups = {tuple(row.tolist()) for row in last}
    assert len(groups) == 4  # The last one holds four regions.
    assert not last.diagonal().any()
    assert torch.equal(last, last.T)


def test_windows_there_and_back():
    x = images(2, 6, 9, 4)
    windows = cut(x, 3)
    assert windows.shape == (2, 6, 9, 4)
    assert torch.equal(windows[:, 1], x[:, :3, 3:6].reshape(2, 9, 4))
    assert torch.equal(joined(windows, 6, 9, 3), x)


def test_merging_takes_columns_last():
    layer = PatchMerging(1).double()
    layer.norm = torch.nn.Identity()
    layer.reduction.weight.data = torch.eye(4, dtype=torch.float64)[[0, 1]]
    z = torch.arange(4.0, dtype=torch.float64).view(1, 2, 2, 1)
    assert layer(z).flatten().tolist() == [0.0, 2.0]  # (0, 0) and then (1, 0).
    layer.reduction.weight.data = torch.eye(4, dtype=torch.float64)[[2, 3]]
    assert layer(z).flatten().tolist() == [1.0, 3.0]
    assert layer(z[:, :1]).shape == (1, 1, 1, 2)  # An odd side is filled up.


# Sizes and parity


@pytest.mark.parametrize(
    ("changes", "count"),
    [
        ({}, 28_288_354),
        ({"depths": (2, 2, 18, 2)}, 49_606_258),
        ({"depths": (2, 2, 18, 2), "embed_dim": 128, "num_heads": (4, 8, 16, 32)}, 87_768_224),
    ],
)
def test_published_numbers_of_parameters(changes, count):
    with torch.device("meta"):
        assert sum(p.numel() for p in Swin(SwinConfig(**changes)).parameters()) == count


def their_model(transformers, kind="SwinForImageClassification", **changes):
    facts = {
        "image_size": 40,
        "patch_size": 2,
        "embed_dim": 12,
        "depths": [2, 3],
        "num_heads": [3, 4],
        "window_size": 5,
        "mlp_ratio": 2.0,
        "num_labels": 5,
        "attn_implementation": "sdpa",  # Its eager path takes the softmax in float32.
    }
    return hugging_face.randomised(getattr(transformers, kind)(transformers.SwinConfig(**facts | changes)))


@pytest.mark.parametrize(
    ("changes", "size"),
    [
        ({}, (40, 40)),
        ({}, (30, 46)),  # Padded to windows on the right, and an odd grid before merging.
        ({}, (31, 45)),  # Padded to patches.
        ({"window_size": 4, "layer_norm_eps": 0.1, "qkv_bias": False}, (32, 32)),
        ({"window_size": 10, "hidden_act": "relu"}, (20, 20)),  # One window covers the map.
        ({"use_absolute_embeddings": True}, (40, 40)),
    ],
)
def test_equals_transformers(changes, size, tmp_path):
    transformers = pytest.importorskip("transformers")
    if changes.get("window_size") == 10:
        changes = changes | {"depths": [3], "num_heads": [3]}
    x = images(2, 3, *size)

    def forward(model):
        out = model(x)
        return getattr(out, "logits", out)

    hugging_face.assert_equal_both_ways(their_model(transformers, **changes), Swin, forward, tmp_path)


def test_equals_a_backbone_of_transformers(tmp_path):
    transformers = pytest.importorskip("transformers")
    x = images(2, 3, 40, 40)
    hugging_face.assert_equal_both_ways(
        their_model(transformers, "SwinModel"),
        Swin,
        lambda model: model.embed(x) if isinstance(model, Swin) else model(x).pooler_output,
        tmp_path,
    )


def test_the_names_of_the_authors_are_read(tmp_path):
    model = tiny()
    model.save_pretrained(tmp_path)
    there, order = {}, ("query", "key", "value")
    for name, tensor in load_file(tmp_path / "model.safetensors").items():
        short = name.replace("swin.encoder.", "").replace("swin.embeddings.", "").replace("swin.", "")
        for a, b in (
            ("patch_embeddings.projection", "patch_embed.proj"),
            ("layernorm_before", "norm1"),
            ("layernorm_after", "norm2"),
            ("attention.output.dense", "attn.proj"),
            ("intermediate.dense", "mlp.fc1"),
            ("output.dense", "mlp.fc2"),
            ("attention.self.", "attn."),
            ("layernorm", "norm"),
            ("classifier", "head"),
        ):
            short = short.replace(a, b)
        if name.startswith("swin.embeddings.norm"):
            short = f"patch_embed.{short}"
        part = next((part for part in order if f"attn.{part}" in short), None)
        if part:
            there.setdefault(short.replace(part, "qkv"), {})[part] = tensor
        else:
            there[short] = tensor
    joined_up = {n: torch.cat([t[k] for k in order]) if isinstance(t, dict) else t for n, t in there.items()}
    joined_up["layers.0.blocks.0.attn.relative_position_index"] = torch.zeros(25, 25, dtype=torch.long)
    joined_up["layers.0.blocks.1.attn_mask"] = torch.zeros(1, 25, 25)
    save_file(joined_up, tmp_path / "model.safetensors")
    x = images(2, 3, 40, 40)
    assert torch.equal(Swin.from_pretrained(tmp_path)(x), model(x))


# Any size, and no trace of a call


def test_a_call_leaves_no_trace_in_the_next():
    model = tiny()
    large, small = images(2, 3, 40, 40), images(2, 3, 8, 8)
    first = model(large)
    model(small)  # A 4 x 4 grid under windows of 5.
    assert torch.equal(model(large), first)
    assert torch.equal(tiny()(large), first)


def test_a_map_that_one_window_covers_is_not_shifted():
    shifted, plain = block(window=3, shift=1), block(window=3, shift=0)
    for size in ((3, 3), (2, 2), (3, 7)):
        z = images(1, *size, 6)
        assert torch.equal(shifted(z), plain(z))
    z = images(1, 4, 4, 6)
    assert not torch.equal(shifted(z), plain(z))


def test_large_logits_tell_minus_100_from_minus_infinity():
    made, z = block(window=3, shift=1), images(1, 6, 6, 6)
    z = made.norm1(z)
    assert torch.allclose(made._mixed(z), looped(made, z, torch.inf), rtol=0, atol=1e-10)
    with torch.no_grad():
        made.attention.qkv.weight *= 50
    assert torch.allclose(made._mixed(z), looped(made, z), rtol=1e-9, atol=1e-9)
    assert (made._mixed(z) - looped(made, z, torch.inf)).abs().max() > 1e-3


def test_what_evaluation_keeps_serves_in_training():
    relative_index.cache_clear()
    shift_mask.cache_clear()
    model, x = tiny().float(), images(2, 3, 40, 40).float()
    with torch.inference_mode():
        model(x)
    model.train()(x).sum().backward()
    assert model.stages[0][1].bias_table.grad is not None


def test_one_block_sees_its_window_and_two_the_neighbours():
    first, second = block(shift=0), block(shift=1)
    z = images(1, 9, 9, 6)
    one = torch.autograd.functional.jacobian(lambda z: first(z)[0, 4, 4].sum(), z)[0].abs().sum(-1) > 0
    inside = torch.zeros(9, 9, dtype=torch.bool)
    inside[3:6, 3:6] = True
    assert torch.equal(one, inside)
    two = (
        torch.autograd.functional.jacobian(lambda z: second(first(z))[0, 4, 4].sum(), z)[0].abs().sum(-1) > 0
    )
    inside[3:9, 3:9] = True  # The shifted window of (4, 4) holds rows and columns 4 to 6.
    assert torch.equal(two, inside)


def multiply_adds(model, size):
    """Those of linear layers and of attention in one forward."""
    total = 0

    def linear(module, inputs, output):
        nonlocal total
        total += output.numel() * module.in_features

    def attention(module, inputs, output):
        nonlocal total
        x = inputs[0]
        total += 2 * x.numel() * x.shape[-2]

    hooks = []
    for module in model.modules():
        if isinstance(module, torch.nn.Linear):
            hooks.append(module.register_forward_hook(linear))
        if hasattr(module, "num_heads"):
            hooks.append(module.register_forward_hook(attention))
    with torch.no_grad():
        model(images(1, 3, *size))
    for hook in hooks:
        hook.remove()
    return total


def test_the_cost_is_linear_in_the_number_of_pixels():
    model = tiny(num_classes=0)
    one, four = multiply_adds(model, (40, 40)), multiply_adds(model, (80, 80))
    assert four == 4 * one
    assert multiply_adds(model, (40, 80)) == 2 * one


def test_drop_path_grows_over_the_blocks_of_all_stages():
    model = tiny(drop_path_rate=0.4)
    rates = [b.drop_path.rate for stage in model.stages for b in stage]
    assert rates == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])


def test_the_pyramid_halves_from_stage_to_stage():
    maps = tiny().pyramid(images(1, 3, 40, 60))
    assert [tuple(m.shape) for m in maps] == [(1, 20, 30, 12), (1, 10, 15, 24)]


# Windows of another size


def test_the_same_window_leaves_the_table_as_it_is():
    table = images(81, 3)
    assert resized_bias_table(table, 5, 5) is table
    assert resized_bias_table(table, 5, 7).shape == (169, 3)
    constant = torch.ones(81, 2, dtype=torch.float64)
    assert torch.allclose(resized_bias_table(constant, 5, 8), torch.ones(225, 2, dtype=torch.float64))


def test_a_network_is_loaded_with_larger_windows(tmp_path):
    model = tiny()
    model.save_pretrained(tmp_path)
    x = images(1, 3, 40, 40)
    assert torch.equal(Swin.from_pretrained(tmp_path, window_size=5)(x), model(x))
    larger = Swin.from_pretrained(tmp_path, window_size=8)
    assert larger.config.window_size == 8
    assert larger(x).shape == (1, 5)


# Errors


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "vit"}, "expected the model type swin"),
        ({"attention_probs_dropout_prob": 0.1}, "no dropout"),
    ],
)
def test_a_configuration_that_is_another_model_is_refused(changes, message, tmp_path):
    tiny().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | changes))
    with pytest.raises(ValueError, match=message):
        Swin.from_pretrained(tmp_path)


def test_sizes_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="one number of heads per stage"):
        SwinConfig(depths=(2, 2))
    with pytest.raises(ValueError, match="a window of at least 1 patch, got 0"):
        SwinConfig(window_size=0)
