"""What tests of SigLIP and SigLIP 2 share: sizes, small and all different, and transformers as reference."""

import torch

TEXT = {
    "vocab_size": 37,
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 11,
    "projection_size": 30,
}
VISION = {
    "hidden_size": 30,
    "intermediate_size": 50,
    "num_hidden_layers": 2,
    "num_attention_heads": 5,
    "patch_size": 7,
}


def tokens(count=3, length=11):
    return torch.randint(0, 37, (count, length), generator=torch.Generator().manual_seed(0))


def reference(kind, config, folder):
    """A model of transformers with weights that are all different, saved in `folder`."""
    model = kind._from_config(config, attn_implementation="sdpa").double()
    rng = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.3 * torch.randn(p.shape, generator=rng, dtype=p.dtype))
    model.save_pretrained(folder)
    return model.train(False)


def check_through_files(ours, theirs, images, inputs, folder, *, tolerance):
    """Holds logits and gradients of all weights against the reference, both ways through the files.

    Args:
        ours: the class of the model.
        theirs: the reference, which `reference` has saved in `folder / "theirs"`.
        images: what ours is given of them.
        inputs: what theirs is given, texts and all.
        folder: for files.
        tolerance: of differences, relative where gradients are above 1.
    """
    model = ours.from_pretrained(folder / "theirs").double()
    found = model(images, tokens())
    assert (found - theirs(**inputs).logits_per_image).abs().max() < tolerance

    model.save_pretrained(folder / "ours")
    again, info = type(theirs).from_pretrained(
        folder / "ours", output_loading_info=True, dtype=torch.float64, attn_implementation="sdpa"
    )
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    out = again.train(False)(**inputs).logits_per_image
    assert (found - out).abs().max() < tolerance

    cotangent = torch.randn(found.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    (found * cotangent).sum().backward()
    (out * cotangent).sum().backward()
    mine = ours.names.to_disk({name: p.grad for name, p in model.named_parameters()})
    others = dict(again.named_parameters())
    assert mine.keys() == others.keys()
    for name, p in others.items():
        assert (mine[name] - p.grad).abs().max() < tolerance * max(1, float(p.grad.abs().max())), name
