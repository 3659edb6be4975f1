"""Parity with transformers through files: outputs, gradients, and the names on disk."""

import copy
import os

import torch
from safetensors.torch import load_file

os.environ.setdefault("HF_HUB_OFFLINE", "1")
# Silences the bars and notices with which transformers loads and saves.
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")


def randomised(model, seed=0):
    """`model` in float64 and evaluation mode with every parameter and statistic drawn anew.

    Fresh weights hide mistakes: biases of 0, gains of 1 and tables of 0 can be mistaken for each other.
    """
    rng = torch.Generator().manual_seed(seed)
    model = model.double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=rng, dtype=torch.float64) * 0.3)
        for name, buffer in model.named_buffers():
            if name.endswith("running_var"):
                buffer.copy_(0.5 + torch.rand(buffer.shape, generator=rng, dtype=torch.float64))
            elif name.endswith("running_mean"):
                buffer.copy_(torch.randn(buffer.shape, generator=rng, dtype=torch.float64))
    return model


def gradients_on_disk(model, outputs, cotangent, folder):
    """The vector-Jacobian product of every parameter, by the parameter's name on disk."""
    model.zero_grad()
    outputs.backward(cotangent)
    bearer = copy.deepcopy(model)
    with torch.no_grad():
        for to, source in zip(bearer.parameters(), model.parameters(), strict=True):
            to.copy_(torch.zeros_like(to) if source.grad is None else source.grad)
        for buffer in bearer.buffers():
            buffer.zero_()
    bearer.save_pretrained(folder)
    return load_file(folder / "model.safetensors")


def assert_equal_both_ways(theirs, ours_class, forward, folder, *, tolerance=1e-10):
    """Theirs loaded as ours and ours loaded as theirs, with equal outputs and gradients.

    Args:
        theirs: a model of transformers, as `randomised` returns it.
        ours_class: has `from_pretrained` and `save_pretrained`.
        forward: model -> outputs, for either.
        folder: an empty one.
        tolerance: largest difference, relative to the largest value.
    """
    theirs.save_pretrained(folder / "theirs")
    ours = ours_class.from_pretrained(folder / "theirs")
    a, b = forward(theirs), forward(ours)
    assert a.dtype == b.dtype == torch.float64
    assert a.shape == b.shape
    scale = a.abs().max()
    assert scale > 1e-3
    assert (a - b).abs().max() <= tolerance * scale

    cotangent = torch.randn(a.shape, generator=torch.Generator().manual_seed(1), dtype=a.dtype)
    one = gradients_on_disk(theirs, a, cotangent, folder / "their-gradients")
    two = gradients_on_disk(ours, b, cotangent, folder / "our-gradients")
    assert one.keys() == two.keys()
    largest = max(g.abs().max() for g in one.values())
    for name, gradient in one.items():
        assert (gradient - two[name]).abs().max() <= tolerance * largest, name

    ours.save_pretrained(folder / "ours")
    written, expected = (load_file(folder / f / "model.safetensors") for f in ("ours", "theirs"))
    assert written.keys() == expected.keys()
    assert all(torch.equal(written[name], expected[name]) for name in expected)
    again, info = type(theirs).from_pretrained(
        folder / "ours", output_loading_info=True, attn_implementation=theirs.config._attn_implementation
    )
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert not info["mismatched_keys"]
    c = forward(again.eval())
    assert (a - c).abs().max() <= tolerance * scale
