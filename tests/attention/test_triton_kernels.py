import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton", reason="triton is not installed: pip install 'assay[triton]'")


def test_against_naive_in_the_interpreter():
    tests = Path(__file__).with_name("interpreted_kernels.py")
    command = [sys.executable, "-m", "pytest", "-q", "--noconftest", "-p", "no:cacheprovider", str(tests)]
    environment = os.environ | {"TRITON_INTERPRET": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout[-5000:]


COMPILE = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from assay.attention import triton_kernels as kernels

HALF, WIDE, STRIDES = "*fp16", "*fp32", ("i64", "i64", "i32", "i32")
VALUES = dict.fromkeys(("q", "k", "v", "out", "dout", "dk", "dv"), HALF)
VALUES |= dict.fromkeys(("lse", "delta", "dlse"), WIDE) | {"dq": HALF}
VALUES |= dict.fromkeys(("starts_q", "starts_k"), "*i32") | dict.fromkeys(("unit", "scale"), "fp32")
VALUES |= dict.fromkeys(("heads", "group", "nq", "nk", "left", "right", "total"), "i32")
VALUES |= dict.fromkeys(("D", "DV", "PADDED_D", "PADDED_DV", "ROWS", "COLUMNS"), 16)
VALUES |= {"SCORE_MOD": None, "SCORE_GRAD": None, "MASK_MOD": None, "UPCAST": False}

EXTRAS = {"dbias": WIDE, "bias": HALF, "mask": "*u8"}
NAMES = ("forward_kernel", "delta_kernel", "queries_kernel", "keys_kernel")

for name, extra in ((name, extra) for extra in (dict.fromkeys(EXTRAS), EXTRAS) for name in NAMES):
    kernel, signature, constants = getattr(kernels, name), {}, {}
    for at, argument in enumerate(kernel.arg_names):
        value = STRIDES if argument.endswith("_at") else (VALUES | extra)[argument]
        if name == "keys_kernel" and argument == "dq":
            value = None
        given = isinstance(value, (str, tuple))
        signature[argument] = value if given else "constexpr"
        if not given:
            constants[at,] = value
    done = triton.compile(ASTSource(kernel, signature, constants), target=GPUTarget("cuda", 90, 32))
    print(name, len(done.asm["cubin"]) > 1000)
"""


def test_the_kernels_compile_for_a_gpu_though_they_have_not_run_on_one():
    command = [sys.executable, "-c", COMPILE]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split().count("True") == 8
