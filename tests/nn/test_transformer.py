"""The pre-norm block by hand, and torch's own layer as its equal."""

import torch
import torch.nn.functional as F

from assay.nn.transformer import MLP, Block


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def block(**changes):
    made = Block(12, 3, 20, **{"layer_norm_eps": 1e-5, **changes}).double()
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=rng, dtype=torch.float64) * 0.3)
    return made


def normalised(x, layer, eps):
    centred = x - x.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True) + eps).sqrt() * layer.weight + layer.bias


def test_both_branches_are_normalised_first_and_added():
    made, z = block(layer_norm_eps=0.1), drawn(2, 5, 12)
    mid = z + made.attention(normalised(z, made.norm1, 0.1))
    expected = mid + made.mlp(normalised(mid, made.norm2, 0.1))
    assert torch.allclose(made(z), expected, rtol=0, atol=1e-12)


def test_mlp_is_two_layers():
    made = MLP(4, 6, "relu").double()
    x = drawn(2, 3, 4)
    expected = F.relu(x @ made.fc1.weight.T + made.fc1.bias) @ made.fc2.weight.T + made.fc2.bias
    assert torch.allclose(made(x), expected, rtol=0, atol=1e-12)


def test_value_and_gradients_equal_torchs_layer():
    ours = block()
    theirs = torch.nn.TransformerEncoderLayer(
        12, 3, 20, dropout=0, activation="gelu", norm_first=True, batch_first=True, dtype=torch.float64
    )
    pairs = {
        "self_attn.in_proj_": "attention.qkv.",
        "self_attn.out_proj.": "attention.out.",
        "linear1.": "mlp.fc1.",
        "linear2.": "mlp.fc2.",
        "norm1.": "norm1.",
        "norm2.": "norm2.",
    }
    names = {there + kind: here + kind for there, here in pairs.items() for kind in ("weight", "bias")}
    state = ours.state_dict()
    theirs.load_state_dict({there: state[here] for there, here in names.items()})
    z, cotangent = drawn(2, 5, 12), drawn(2, 5, 12, seed=1)
    ours(z).backward(cotangent)
    out = theirs(z)
    out.backward(cotangent)
    assert torch.allclose(out, ours(z), rtol=0, atol=1e-12)
    for there, here in names.items():
        a, b = theirs.get_parameter(there).grad, ours.get_parameter(here).grad
        assert torch.allclose(a, b, rtol=0, atol=1e-11), here


def test_with_both_branches_left_out_the_tokens_go_through():
    made, z = block(drop_path_rate=0.999999), drawn(4, 5, 12)
    with torch.random.fork_rng():
        torch.random.default_generator.manual_seed(0)
        assert torch.equal(made.train()(z), z)
    assert not torch.equal(made.eval()(z), z)


def test_a_causal_block_looks_back_only():
    made, z = block(), drawn(1, 6, 12)
    later = z.clone()
    later[:, 4:] += 1
    assert torch.equal(made(z, causal=True)[:, :4], made(later, causal=True)[:, :4])
    assert not torch.equal(made(z)[:, :4], made(later)[:, :4])
