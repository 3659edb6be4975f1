import json
import subprocess
import sys

import pytest
import torch

from assay.attention import attention, packed_attention
from assay.attention.operator import operator


def drawn(*shapes, seed=0, grad=True):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator).requires_grad_(grad) for shape in shapes]


SETTINGS = (-1, 0, 0.3, "flash2", 4, 3, True)


@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.parametrize("extra", ["none", "bias", "mask", "packed"])
def test_pytorchs_own_check_of_an_operator(grad, extra):
    q, k, v = drawn((1, 4, 6, 8), (1, 2, 7, 8), (1, 2, 7, 5), grad=grad)
    (bias,) = drawn((1, 4, 1, 7), grad=grad)
    starts = torch.tensor([0, 2, 6], dtype=torch.int32), torch.tensor([0, 3, 7], dtype=torch.int32)
    args = (
        torch.rand(1, 1, 6, 7) > 0.3 if extra == "mask" else None,
        bias if extra == "bias" else None,
        *(starts if extra == "packed" else (None, None)),
    )
    tests = ("test_schema", "test_autograd_registration", "test_faketensor")
    found = torch.library.opcheck(operator, (q, k, v, *args, *SETTINGS), test_utils=tests)
    assert set(found.values()) == {"SUCCESS"}


# In a process of its own: the tests' check of annotated shapes is more than torch.compile can follow.
COMPILED = """
import json, torch
from assay.attention import attention

def drawn(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0)).requires_grad_()

q, k, v, bias = drawn(2, 4, 6, 8), drawn(2, 4, 6, 8), drawn(2, 4, 6, 8), drawn(1, 4, 1, 6)

def value_and_gradient(function):
    out = function(q, k, v, bias)
    return [out, *torch.autograd.grad(out, (q, k, v, bias), torch.cos(out.detach()), allow_unused=True)]

def case(method, with_bias):
    return lambda q, k, v, bias: 2 * attention(
        torch.sin(q), k, v, causal=True, method=method, bias=bias if with_bias else None
    )

graphs = []
def capture(graph, inputs):
    graphs.append(graph)
    return graph.forward

found = {}
for backend, method, with_bias in (
    (capture, "flash2", False),
    ("aot_eager", "flash2", False),
    ("aot_eager", "flash2", True),
    ("aot_eager", "naive", True),
    ("aot_eager", "sdpa", False),
):
    torch._dynamo.reset()
    function = case(method, with_bias)
    compiled = torch.compile(function, backend=backend, fullgraph=True)
    pairs = zip(value_and_gradient(function), value_and_gradient(compiled))
    worst = max(float((a - b).abs().max()) for a, b in pairs if a is not None)
    found[f"{backend} {method} {with_bias}"] = worst
found["operators"] = sum("assay.attention" in str(n.target) for g in graphs for n in g.graph.nodes)
print(json.dumps(found))
"""


def test_compiled_is_the_same_value_and_gradient_through_one_operator():
    done = subprocess.run([sys.executable, "-c", COMPILED], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found.pop("operators") == 1
    assert len(found) == 5
    assert max(found.values()) < 1e-5


def test_uncompiled_it_goes_through_autograd_alone():
    q, k, v = drawn(*[(1, 1, 4, 2)] * 3)
    assert "_Attention" in type(attention(q, k, v, method="flash2").grad_fn).__name__


def test_packed_sequences_under_gradients_of_the_operator():
    q, k, v, g = drawn((1, 2, 5, 3), (1, 2, 5, 3), (1, 2, 5, 3), (1, 2, 5, 3))
    starts = torch.tensor([0, 2, 5], dtype=torch.int32)
    out, _ = operator(q, k, v, None, None, starts, starts, -1, -1, 3**-0.5, "flash2", 2, 2, True)
    rows = [x[0].transpose(0, 1).detach().requires_grad_() for x in (q, k, v)]
    other = packed_attention(*rows, starts, method="flash1")
    torch.testing.assert_close(out[0].transpose(0, 1), other)
    ours = torch.autograd.grad(out, (q, k, v), g)
    theirs = torch.autograd.grad(other, rows, g[0].transpose(0, 1))
    for one, two in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one[0].transpose(0, 1), two)
