"""What the papers say about training in fewer bits, as comparisons that can fail.

The margins, in nats of the loss on test images, were written before the claims were run, after a look at one
seed that is not among theirs; the records are in `claims/records/precision`. More is better: the loss counts
with its sign turned.
"""

from assay.core.claim import Claim, Prediction, race

_MICIKEVICIUS = 'Micikevicius et al. "Mixed Precision Training". ICLR 2018. arXiv:1710.03740v3'
_SHRUNK = (
    "A network of two hidden layers with 64 units on 1,348 handwritten digits, 1,000 steps of plain "
    "stochastic gradient descent, fp16 by exact emulation. The loss counts as averaged over 8,192 positions "
    "per image, about as many as SSD has boxes, so that gradients are as small as in dense prediction; a "
    "larger network would have more that are."
)

claims: tuple[Claim, ...] = (
    Claim(
        name="precision/mixed-trains-like-fp32",
        statement="With loss scaling and float32 master weights, training in fp16 is as good as in fp32.",
        source=f"{_MICIKEVICIUS}, Section 4 (mixed precision against the fp32 baseline)",
        predictions=(
            Prediction(greater="fp16-mixed", smaller="fp32", margin=-0.001),
            Prediction(greater="fp32", smaller="fp16-mixed", margin=-0.001),
        ),
        measure=race("precision", {"fp32": ("fp32", {}), "fp16-mixed": ("fp16-mixed", {})}),
        shrunk=_SHRUNK,
    ),
    Claim(
        name="precision/fp16-needs-loss-scaling",
        statement="Without loss scaling, small gradients become zero and training in fp16 falls behind, "
        "master weights or not.",
        source=f"{_MICIKEVICIUS}, Sections 3.2 and 4.2 (SSD diverges without scaling)",
        predictions=(
            Prediction(greater="fp16-mixed", smaller="fp16-master", margin=0.002),
            Prediction(greater="fp16-scaled", smaller="fp16", margin=0.002),
        ),
        measure=race(
            "precision",
            {name: (name, {}) for name in ("fp16-mixed", "fp16-master", "fp16-scaled", "fp16")},
        ),
        shrunk=f"{_SHRUNK} It falls behind here, it does not diverge.",
    ),
    Claim(
        name="precision/fp16-needs-master-weights",
        statement="Without a float32 master copy, small updates vanish and training in fp16 falls behind, "
        "loss scaling or not.",
        source=f"{_MICIKEVICIUS}, Section 3.1 and Figure 2a (a speech model loses accuracy without the copy)",
        predictions=(
            Prediction(greater="fp16-mixed", smaller="fp16-scaled", margin=0.001),
            Prediction(greater="fp16-master", smaller="fp16", margin=0.001),
        ),
        measure=race(
            "precision",
            {name: (name, {}) for name in ("fp16-mixed", "fp16-master", "fp16-scaled", "fp16")},
        ),
        shrunk=_SHRUNK,
    ),
    Claim(
        name="precision/plain-classification-needs-no-scaling",
        statement="Where gradients are not small, as in plain classification, fp16 with master weights needs "
        "no loss scaling.",
        source=f"{_MICIKEVICIUS}, Section 4.1 (classification networks were trained without loss scaling)",
        predictions=(Prediction(greater="fp16-master", smaller="fp16-mixed", margin=-0.001),),
        measure=race(
            "precision",
            {"fp16-master": ("fp16-master", {}), "fp16-mixed": ("fp16-mixed", {})},
            positions=1,
        ),
        shrunk=f"{_SHRUNK} For this claim the loss is averaged over 1 position.",
    ),
    Claim(
        name="precision/bf16-needs-no-scaling",
        statement="Training in bfloat16 with float32 weights is as good as in fp32, without loss scaling.",
        source='Kalamkar et al. "A Study of BFLOAT16 for Deep Learning Training". arXiv:1905.12322v3',
        predictions=(
            Prediction(greater="bf16", smaller="fp32", margin=-0.002),
            Prediction(greater="fp32", smaller="bf16", margin=-0.002),
        ),
        measure=race("precision", {"fp32": ("fp32", {}), "bf16": ("bf16", {})}),
        shrunk=_SHRUNK,
    ),
    Claim(
        name="precision/stochastic-rounding-saves-pure-bf16",
        statement="Weights kept in bfloat16 stall when they are rounded to the nearest, and do not when they "
        "are rounded stochastically.",
        source='Zamirai et al. "Revisiting BFloat16 Training". arXiv:2010.06192v2 (stochastic rounding)',
        predictions=(
            Prediction(greater="bf16-stochastic", smaller="bf16-pure", margin=0.04),
            Prediction(greater="bf16-stochastic", smaller="fp32", margin=-0.005),
        ),
        measure=race("precision", {name: (name, {}) for name in ("bf16-stochastic", "bf16-pure", "fp32")}),
        shrunk=_SHRUNK,
    ),
    Claim(
        name="precision/tf32-trains-like-fp32",
        statement="Training with TF32 products has the loss of training in fp32.",
        source='NVIDIA. "NVIDIA A100 Tensor Core GPU Architecture". 2020 (TF32)',
        predictions=(
            Prediction(greater="tf32", smaller="fp32", margin=-0.001),
            Prediction(greater="fp32", smaller="tf32", margin=-0.001),
        ),
        measure=race("precision", {"fp32": ("fp32", {}), "tf32": ("tf32", {})}),
        shrunk=_SHRUNK,
    ),
)
