"""ViT: transformers' class, published sizes, tables of positions for other grids, and kept patches."""

import json

import hugging_face
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from assay.images.vit import ViT, ViTConfig, resized_positions

# Image, patch, depth, heads and widths all differ, so that no transposed tensor passes.
TINY = ViTConfig(
    num_classes=7,
    image_size=(12, 20),
    patch_size=4,
    hidden_size=24,
    num_hidden_layers=2,
    num_attention_heads=3,
    intermediate_size=36,
)


def images(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def tiny(**changes):
    facts = {name: getattr(TINY, name) for name in ViTConfig.__dataclass_fields__}
    return hugging_face.randomised(ViT(ViTConfig(**facts | changes)))


# Sizes and parity


@pytest.mark.parametrize(
    ("dim", "depth", "heads", "count"),
    [(384, 12, 6, 22_050_664), (768, 12, 12, 86_567_656), (1024, 24, 16, 304_326_632)],
)
def test_published_numbers_of_parameters(dim, depth, heads, count):
    config = ViTConfig(
        hidden_size=dim, num_hidden_layers=depth, num_attention_heads=heads, intermediate_size=4 * dim
    )
    with torch.device("meta"):
        assert sum(p.numel() for p in ViT(config).parameters()) == count


def their_config(transformers, **changes):
    facts = {
        "image_size": 20,
        "patch_size": 4,
        "hidden_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 3,
        "intermediate_size": 36,
        "num_labels": 7,
        "attn_implementation": "sdpa",  # Its eager path takes the softmax in float32.
    }
    return transformers.ViTConfig(**facts | changes)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"layer_norm_eps": 0.1},
        {"hidden_act": "quick_gelu", "qkv_bias": False},
        {"image_size": [12, 20], "num_channels": 1, "num_labels": 2},
    ],
)
def test_equals_transformers(changes, tmp_path):
    transformers = pytest.importorskip("transformers")
    theirs = hugging_face.randomised(
        transformers.ViTForImageClassification(their_config(transformers, **changes))
    )
    size = changes.get("image_size", [20, 20])
    x = images(2, changes.get("num_channels", 3), *size)

    def forward(model):
        out = model(x)
        return getattr(out, "logits", out)

    hugging_face.assert_equal_both_ways(theirs, ViT, forward, tmp_path)


def test_equals_a_backbone_of_transformers(tmp_path):
    transformers = pytest.importorskip("transformers")
    config = their_config(transformers)
    theirs = hugging_face.randomised(transformers.ViTModel(config, add_pooling_layer=False))
    x = images(2, 3, 20, 20)

    def forward(model):
        return model.embed(x) if isinstance(model, ViT) else model(x).last_hidden_state[:, 0]

    theirs.save_pretrained(tmp_path / "a")
    assert torch.allclose(forward(ViT.from_pretrained(tmp_path / "a")), forward(theirs), rtol=0, atol=1e-10)
    pooled = hugging_face.randomised(transformers.ViTModel(config))
    pooled.save_pretrained(tmp_path / "b")
    assert torch.allclose(forward(ViT.from_pretrained(tmp_path / "b")), forward(pooled), rtol=0, atol=1e-10)


def test_an_epsilon_that_the_file_does_not_say_is_the_formats(tmp_path):
    tiny().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config.pop("layer_norm_eps") == 1e-6
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert ViT.from_pretrained(tmp_path).config.layer_norm_eps == 1e-12


def test_the_names_of_timm_are_read(tmp_path):
    """One matrix for queries, keys and values, in this order, and heads inside each."""
    model = tiny()
    model.save_pretrained(tmp_path)
    there = {}
    for name, tensor in load_file(tmp_path / "model.safetensors").items():
        leaf = name.rsplit(".", 1)[-1]
        layer = next((w for w in name.split(".") if w.isdigit()), None)
        known = {
            "cls_token": "cls_token",
            "position_embeddings": "pos_embed",
            "projection": f"patch_embed.proj.{leaf}",
            "layernorm_before": f"blocks.{layer}.norm1.{leaf}",
            "layernorm_after": f"blocks.{layer}.norm2.{leaf}",
            "attention.output.dense": f"blocks.{layer}.attn.proj.{leaf}",
            "intermediate.dense": f"blocks.{layer}.mlp.fc1.{leaf}",
            f"{layer}.output.dense": f"blocks.{layer}.mlp.fc2.{leaf}",
            "vit.layernorm": f"norm.{leaf}",
            "classifier": f"head.{leaf}",
        }
        if "attention.attention" in name:
            there.setdefault(f"blocks.{layer}.attn.qkv.{leaf}", {})[name.split(".")[-2]] = tensor
        else:
            there[next(new for part, new in known.items() if part in name)] = tensor
    order = ("query", "key", "value")
    joined = {n: torch.cat([t[k] for k in order]) if isinstance(t, dict) else t for n, t in there.items()}
    save_file(joined, tmp_path / "model.safetensors")
    x = images(2, 3, 12, 20)
    assert torch.equal(ViT.from_pretrained(tmp_path)(x), model(x))


# Positions


def test_the_same_grid_leaves_the_table_as_it_is():
    table = images(1, 1 + 15, 4)
    assert resized_positions(table, (3, 5), (3, 5)) is table


def test_a_grid_of_the_same_count_is_resized_all_the_same():
    table = images(1, 1 + 14 * 14, 4)
    resized = resized_positions(table, (14, 14), (7, 28))
    assert resized.shape == table.shape
    assert torch.equal(resized[:, 0], table[:, 0])  # The class token's row belongs to no place.
    assert (resized[:, 1:] - table[:, 1:]).abs().max() > 0.1
    picture = table[:, 1:].reshape(1, 14, 14, 4).permute(0, 3, 1, 2)
    expected = F.interpolate(picture, (7, 28), mode="bicubic", antialias=True).permute(0, 2, 3, 1)
    assert torch.equal(resized[:, 1:], expected.reshape(1, -1, 4))


def test_a_constant_table_stays_constant_and_a_ramp_keeps_its_direction():
    constant = torch.ones(1, 10, 2, dtype=torch.float64)
    assert torch.allclose(
        resized_positions(constant, (3, 3), (5, 4)), torch.ones(1, 21, 2, dtype=torch.float64)
    )
    ramp = torch.arange(6.0).repeat_interleave(4).view(1, 24, 1)  # By rows.
    resized = resized_positions(ramp, (6, 4), (3, 8)).view(3, 8)
    assert torch.allclose(resized, resized[:, :1].expand(3, 8), atol=1e-5)
    assert (resized.diff(dim=0) > 0).all()


def test_images_of_other_sizes_are_taken():
    model = tiny()
    assert model(images(2, 3, 20, 12)).shape == (2, 7)  # The same number of patches, another grid.
    assert model(images(2, 3, 8, 40)).shape == (2, 7)
    with pytest.raises(ValueError, match="divisible by patches of 4x4, got 10x20"):
        model(images(1, 3, 10, 20))


# Properties


def test_patches_are_unfolded_and_multiplied():
    model, x = tiny(), images(2, 3, 12, 20)
    flat = F.unfold(x, 4, stride=4).mT
    expected = flat @ model.patches.weight.flatten(1).T + model.patches.bias
    assert torch.allclose(model.patches(x).flatten(2).mT, expected, rtol=0, atol=1e-12)


def shuffled_patches(x, order):
    cut = F.unfold(x, 4, stride=4)[:, :, order]
    return F.fold(cut, x.shape[-2:], 4, stride=4)


def test_without_positions_the_order_of_patches_is_nothing():
    x, order = images(2, 3, 12, 20), torch.randperm(15, generator=torch.Generator().manual_seed(0))
    model = tiny()
    assert (model(x) - model(shuffled_patches(x, order))).abs().max() > 1e-3
    model.position_embeddings.data.zero_()
    assert torch.allclose(model(x), model(shuffled_patches(x, order)), rtol=0, atol=1e-10)


def test_keeping_all_patches_changes_nothing_and_their_order_is_nothing():
    model, x = tiny(), images(2, 3, 12, 20)
    every = torch.arange(15).expand(2, -1)
    assert torch.allclose(model.embed(x, every), model.embed(x), rtol=0, atol=1e-12)
    assert torch.allclose(model.embed(x, every.flip(1)), model.embed(x), rtol=0, atol=1e-10)


def test_a_kept_patch_has_the_position_of_its_place_and_a_dropped_one_no_effect():
    model, x = tiny(), images(2, 3, 12, 20).requires_grad_()
    keep = torch.tensor([[14, 0, 6], [3, 5, 1]])
    z = model.tokens(x, keep)
    assert z.shape == (2, 4, 24)  # And the class token, always.
    (gradient,) = torch.autograd.grad(model.embed(x, keep).sum(), x)
    touched = F.unfold(gradient, 4, stride=4).abs().sum(1) > 0
    assert torch.equal(touched, torch.zeros(2, 15, dtype=torch.bool).scatter(1, keep, True))
    # Rubbing out all but the kept places' positions makes no difference.
    rubbed = tiny()
    rubbed.position_embeddings.data[:, [1 + i for i in range(15) if i not in (14, 0, 6)]] = 0
    assert torch.allclose(rubbed.embed(x[:1], keep[:1]), model.embed(x[:1], keep[:1]), rtol=0, atol=1e-12)


def test_the_mean_leaves_out_the_class_token_and_is_normalised_afterwards():
    model, x = tiny(pooling="mean"), images(2, 3, 12, 20)
    z = model.tokens(x)
    mean = z[:, 1:].sum(1) / 15
    centred = mean - mean.mean(-1, keepdim=True)
    normal = centred / (centred.square().mean(-1, keepdim=True) + 1e-6).sqrt()
    expected = normal * model.norm.weight + model.norm.bias
    assert torch.allclose(model.embed(x), expected, rtol=0, atol=1e-12)


def test_the_gradient_of_the_key_bias_is_zero():
    model, x = tiny(), images(3, 3, 12, 20)
    model(x).square().sum().backward()
    for block in model.blocks:
        q, k, v = block.attention.qkv.bias.grad.chunk(3)
        assert k.abs().max() < 1e-12 * max(q.abs().max(), v.abs().max())


def test_the_first_weights_depend_on_torchs_generator_only():
    def draw(seed):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return ViT(TINY).state_dict()

    one, two, three = draw(0), draw(0), draw(1)
    assert all(torch.equal(one[n], two[n]) for n in one)
    assert not torch.equal(one["cls_token"], three["cls_token"])


# Errors


def test_sizes_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="divisible by the patch size 16, got 225"):
        ViTConfig(image_size=225)
    with pytest.raises(ValueError, match="expected a pooling of cls, mean, got 'max'"):
        ViTConfig(pooling="max")
    with pytest.raises(ValueError, match="divisible by 5 heads, got 24"):
        tiny(num_attention_heads=5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "swin"}, "expected the model type vit, got 'swin'"),
        ({"hidden_dropout_prob": 0.1}, "expected hidden_dropout_prob 0"),
    ],
)
def test_a_configuration_that_is_another_model_is_refused(changes, message, tmp_path):
    tiny().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | changes))
    with pytest.raises(ValueError, match=message):
        ViT.from_pretrained(tmp_path)
