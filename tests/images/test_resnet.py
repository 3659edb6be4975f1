"""ResNet: naive loops, transformers' class, published sizes, and the traps around strides and statistics."""

import hugging_face
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from assay.images.resnet import Padding, ResidualBlock, ResNet, ResNetConfig

TINY = ResNetConfig(
    num_classes=5, embedding_size=6, hidden_sizes=(8, 12, 20), depths=(1, 2, 1), layer_type="basic"
)


def images(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def parameters(config):
    with torch.device("meta"):
        return sum(p.numel() for p in ResNet(config).parameters())


# Oracles


def naive_convolution(x, weight, stride):
    """Loops over the definition; padding is half the kernel."""
    out, k = len(weight), weight.shape[-1]
    padded = np.pad(x, ((0, 0), (0, 0), (k // 2, k // 2), (k // 2, k // 2)))
    height, width = ((n + 2 * (k // 2) - k) // stride + 1 for n in x.shape[2:])
    y = np.zeros((len(x), out, height, width))
    for i in range(height):
        for j in range(width):
            window = padded[:, :, i * stride : i * stride + k, j * stride : j * stride + k]
            for o in range(out):
                y[:, o, i, j] = (window * weight[o]).sum((1, 2, 3))
    return y


def naive_layer(x, layer, stride):
    y = naive_convolution(x, layer.conv.weight.detach().numpy(), stride)
    norm = layer.norm
    mean, var, gain, bias = (
        t.detach().numpy()[:, None, None]
        for t in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
    )
    return (y - mean) / np.sqrt(var + norm.eps) * gain + bias


@pytest.mark.parametrize("kind", ["basic", "bottleneck"])
@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize(("below", "above", "stride"), [(8, 8, 1), (4, 8, 1), (8, 12, 2)])
def test_a_block_is_the_formula(kind, first, below, above, stride):
    config = ResNetConfig(layer_type=kind, downsample_in_bottleneck=first)
    block = hugging_face.randomised(ResidualBlock(config, below, above, stride))
    x = images(2, below, 5, 6).numpy()  # signed: a rectifier in the wrong place shows
    strides = [stride, 1] if kind == "basic" else [stride, 1, 1] if first else [1, stride, 1]
    y = x
    for i, (layer, s) in enumerate(zip(block.layers, strides, strict=True)):
        y = naive_layer(y, layer, s)
        y = np.maximum(y, 0) if i < len(strides) - 1 else y
    short = x if block.shortcut is None else naive_layer(x, block.shortcut, stride)
    assert (block.shortcut is None) == (below == above and stride == 1)
    expected = np.maximum(y + short, 0)
    np.testing.assert_allclose(block(torch.from_numpy(x)).detach().numpy(), expected, rtol=0, atol=1e-10)


def test_without_shortcut_a_block_is_plain():
    with_, without = (
        ResidualBlock(ResNetConfig(layer_type="basic", shortcut=kind), 4, 8, 2)
        for kind in ("projection", "none")
    )
    without.load_state_dict({n: t for n, t in with_.state_dict().items() if "shortcut" not in n})
    with torch.no_grad():
        with_.shortcut.norm.weight.zero_()  # The shortcut multiplied by 0.
    x = images(2, 4, 6, 6).float()
    assert torch.equal(with_.eval()(x), without.eval()(x))


def test_option_a_takes_every_second_pixel_and_adds_channels_of_zeros():
    x = images(2, 3, 5, 6)
    y = Padding(3, 8, 2)(x)
    assert y.shape == (2, 8, 3, 3)
    assert torch.equal(y[:, 2:5], x[:, :, ::2, ::2])
    assert not y[:, :2].any()
    assert not y[:, 5:].any()


def test_a_block_whose_last_gain_is_0_is_its_shortcut():
    block = ResidualBlock(ResNetConfig(layer_type="basic"), 4, 8, 2).eval()
    assert (block.layers[-1].norm.weight == 1).all()  # The default, as in torchvision.
    with torch.no_grad():
        block.layers[-1].norm.weight.zero_()
    x = images(2, 4, 6, 6).float()
    assert torch.allclose(block(x), block.shortcut(x).relu())


# Sizes


@pytest.mark.parametrize(
    ("depth", "count"),
    [(18, 11_689_512), (34, 21_797_672), (50, 25_557_032), (101, 44_549_160), (152, 60_192_808)],
)
def test_published_numbers_of_parameters(depth, count):
    assert parameters(ResNetConfig.resnet(depth)) == count


@pytest.mark.parametrize(
    ("depth", "count"), [(20, 269_722), (32, 464_154), (44, 658_586), (56, 853_018), (110, 1_727_962)]
)
def test_published_numbers_of_parameters_of_cifar_nets(depth, count):
    assert parameters(ResNetConfig.cifar(depth)) == count
    assert parameters(ResNetConfig.cifar(depth, shortcut="none")) == count  # Option A has none either.


def multiply_adds(config, size):
    """Counted at every convolution and linear layer of one forward."""
    total = 0

    def count(module, inputs, output):
        nonlocal total
        total += output.numel() * module.weight[0].numel()

    model = ResNet(config).eval()
    for module in model.modules():
        if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear)):
            module.register_forward_hook(count)
    with torch.no_grad():
        model(torch.zeros(1, 3, size, size))
    return total


def test_the_stride_on_the_1x1_costs_less():
    v15, v1 = (
        multiply_adds(ResNetConfig.resnet(50, downsample_in_bottleneck=first), 224) for first in (False, True)
    )
    assert 4.05e9 < v15 < 4.15e9
    assert 3.8e9 < v1 < 3.9e9


# Parity


@pytest.mark.parametrize("size", [(32, 32), (37, 41)])
@pytest.mark.parametrize(
    "changes",
    [
        {"layer_type": "basic"},
        {"layer_type": "bottleneck"},
        {"layer_type": "bottleneck", "downsample_in_bottleneck": True},
        {"layer_type": "basic", "downsample_in_first_stage": True, "hidden_act": "gelu", "num_labels": 2},
    ],
)
def test_equals_transformers(changes, size, tmp_path):
    transformers = pytest.importorskip("transformers")
    facts = {"embedding_size": 6, "hidden_sizes": [8, 12, 20], "depths": [1, 2, 1], "num_labels": 5}
    config = transformers.ResNetConfig(**facts | changes)
    theirs = hugging_face.randomised(transformers.ResNetForImageClassification(config))
    x = images(2, 3, *size)

    def forward(model):
        out = model(x)
        return getattr(out, "logits", out)

    hugging_face.assert_equal_both_ways(theirs, ResNet, forward, tmp_path)


def test_equals_transformers_in_training_mode_and_its_statistics(tmp_path):
    transformers = pytest.importorskip("transformers")
    config = transformers.ResNetConfig(
        embedding_size=6, hidden_sizes=[8, 12], depths=[1, 1], layer_type="basic"
    )
    theirs = hugging_face.randomised(transformers.ResNetForImageClassification(config))
    theirs.save_pretrained(tmp_path)
    ours = ResNet.from_pretrained(tmp_path)
    x = images(3, 3, 33, 32)
    a, b = theirs.train()(x).logits, ours.train()(x)
    assert torch.allclose(a, b, rtol=0, atol=1e-10)
    theirs.save_pretrained(tmp_path / "a")
    ours.save_pretrained(tmp_path / "b")
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in "ab")
    assert all(torch.allclose(one[n].double(), two[n].double(), rtol=0, atol=1e-12) for n in one)


def test_a_backbone_of_transformers_has_no_classifier(tmp_path):
    transformers = pytest.importorskip("transformers")
    config = transformers.ResNetConfig(
        embedding_size=6, hidden_sizes=[8, 12], depths=[1, 1], layer_type="basic"
    )
    theirs = hugging_face.randomised(transformers.ResNetModel(config))
    x = images(2, 3, 32, 32)
    hugging_face.assert_equal_both_ways(
        theirs,
        ResNet,
        lambda model: model.embed(x) if isinstance(model, ResNet) else model(x).pooler_output.flatten(1),
        tmp_path,
    )


def test_the_names_of_torchvision_are_read(tmp_path):
    model = hugging_face.randomised(ResNet(TINY))
    model.save_pretrained(tmp_path)
    there = {}
    for name, tensor in load_file(tmp_path / "model.safetensors").items():
        words = name.replace("resnet.", "", 1).split(".")
        if words[0] == "embedder":
            new = {"convolution": "conv1", "normalization": "bn1"}[words[2]] + "." + words[-1]
        elif words[0] == "classifier":
            new = f"fc.{words[-1]}"
        else:
            stage, block, kind = f"layer{int(words[2]) + 1}", words[4], words[-2]
            if words[5] == "shortcut":
                new = f"downsample.{['convolution', 'normalization'].index(kind)}"
            else:
                new = {"convolution": "conv", "normalization": "bn"}[kind] + str(int(words[6]) + 1)
            new = f"{stage}.{block}.{new}.{words[-1]}"
        there[new] = tensor
    save_file(there, tmp_path / "model.safetensors")
    x = images(2, 3, 32, 32)
    assert torch.equal(ResNet.from_pretrained(tmp_path)(x), model(x))


def test_a_small_net_is_saved_and_loaded_under_its_own_type(tmp_path):
    model = hugging_face.randomised(ResNet(ResNetConfig.cifar(8, width=4, num_channels=1, num_classes=3)))
    model.save_pretrained(tmp_path, classes=("a", "b", "c"))
    x = images(2, 1, 9, 9)
    again = ResNet.from_pretrained(tmp_path)
    assert again.config == model.config
    assert torch.equal(again(x), model(x))
    assert "assay-resnet" in (tmp_path / "config.json").read_text()


# Properties


def test_in_evaluation_an_output_does_not_depend_on_its_companions():
    model = hugging_face.randomised(ResNet(TINY))
    x = images(4, 3, 32, 32)
    assert torch.allclose(model(x)[1:2], model(x[1:2]), rtol=0, atol=1e-12)


def test_shifting_the_image_by_the_stride_shifts_the_map_by_one():
    config = ResNetConfig(embedding_size=4, hidden_sizes=(4, 6), depths=(1, 1), layer_type="basic")
    model = hugging_face.randomised(ResNet(config))
    x = images(1, 3, 160, 160)
    one, two = model.pyramid(x)[-1], model.pyramid(x.roll((8, 8), (2, 3)))[-1]
    assert one.shape[-1] == 20
    inner = slice(8, 14)
    assert torch.allclose(one[:, :, inner, inner], two[:, :, 9:15, 9:15], rtol=0, atol=1e-10)


def test_the_pyramid_has_strides_4_to_32():
    maps = ResNet(ResNetConfig.resnet(18)).eval().pyramid(torch.zeros(1, 3, 64, 96))
    assert [tuple(m.shape[2:]) for m in maps] == [(16, 24), (8, 12), (4, 6), (2, 3)]


def test_batch_statistics_by_hand():
    """The unbiased variance goes into the running one, with share 0.1; the biased one normalises."""
    layer = ResidualBlock(TINY, 2, 2, 1).layers[0].train().double()
    layer.conv.weight.data = torch.eye(2, dtype=torch.float64)[:, :, None, None]
    layer.conv.padding = (0, 0)
    mean, var = torch.zeros(2, dtype=torch.float64), torch.ones(2, dtype=torch.float64)
    for step in range(2):
        x = images(3, 2, 2, 2, seed=step)
        flat = x.transpose(0, 1).flatten(1)
        mean = 0.9 * mean + 0.1 * flat.mean(1)
        var = 0.9 * var + 0.1 * flat.var(1, unbiased=True)
        y = layer(x).transpose(0, 1).flatten(1)
        expected = (flat - flat.mean(1, True)) / (flat.var(1, unbiased=False, keepdim=True) + 1e-5).sqrt()
        assert torch.allclose(y, expected, rtol=0, atol=1e-12)
    assert torch.allclose(layer.norm.running_mean, mean, rtol=0, atol=1e-12)
    assert torch.allclose(layer.norm.running_var, var, rtol=0, atol=1e-12)


# Errors


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layer_type": "wide"}, "expected layer_type of basic, bottleneck, got 'wide'"),
        ({"depths": (1, 1)}, "expected one width per stage"),
        ({"hidden_sizes": (8, 4, 2, 1), "shortcut": "padding"}, "cannot take channels away"),
    ],
)
def test_sizes_that_make_no_sense_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        ResNetConfig(**changes)


def test_depths_that_do_not_exist_are_refused():
    with pytest.raises(ValueError, match=r"expected a depth of 6n \+ 2, got 21"):
        ResNetConfig.cifar(21)
    with pytest.raises(ValueError, match="expected a depth of 18, 34, 50, 101, 152, got 19"):
        ResNetConfig.resnet(19)


def test_tensors_of_another_network_are_listed(tmp_path):
    ResNet(TINY).save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    tensors["extra.weight"] = tensors.pop("classifier.1.bias")
    tensors["classifier.1.weight"] = torch.zeros(5, 21)
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="not those of this model") as raised:
        ResNet.from_pretrained(tmp_path)
    assert "1 missing: classifier.1.bias" in str(raised.value)
    assert "1 unexpected: extra.weight" in str(raised.value)
    assert "classifier.1.weight [5, 21] for [5, 20]" in str(raised.value)


def test_another_type_of_model_is_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "vit"}')
    with pytest.raises(ValueError, match="expected the model type resnet, got 'vit'"):
        ResNet.from_pretrained(tmp_path)
