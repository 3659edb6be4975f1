import dataclasses

import pytest

from assay.core.method import locate
from assay.precision.formats import BF16, FP16, FP32, TF32
from assay.precision.policy import Policy
from assay.precision.task import task


def test_default_is_float32_and_nothing_else():
    policy = Policy()
    assert {policy.param, policy.compute, policy.output} == {FP32}
    assert not policy.scaling
    with pytest.raises(dataclasses.FrozenInstanceError):
        policy.scaling = True  # type: ignore[misc]


def test_recipes_are_what_their_names_say():
    policies = {name: locate(path).policy for name, path in task.methods.items()}
    master = {name for name, p in policies.items() if p.param == FP32 and p.compute not in (FP32, TF32)}
    assert master == {"fp16-master", "fp16-mixed", "bf16"}
    assert {name for name, p in policies.items() if p.scaling} == {"fp16-scaled", "fp16-mixed"}
    assert {name for name, p in policies.items() if p.output == FP16} == {
        "fp16",
        "fp16-scaled",
        "fp16-master",
        "fp16-mixed",
    }
    assert policies["tf32"] == Policy(compute=TF32)
    assert policies["bf16-pure"] == dataclasses.replace(policies["bf16-stochastic"], update="nearest")
    assert policies["bf16-pure"].param == BF16
    assert len(set(policies.values())) == len(policies)
