"""What the papers of the density methods say about them, as comparisons that can fail.

The margins, in nats per picture, were written before the experiments were run; the records are in
`claims/records/density`. More is better: every quantity is a mean log-likelihood of test pictures.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from assay.core.claim import Claim, Prediction, race
from assay.core.run import Run, Scale
from assay.density.eonade import EoNADEModel
from assay.density.task import task

_DATA = "mnist-5k"
_BITS = "fixed"
_SHRUNK = (
    "5,000 MNIST digits, three quarters of them for training, with bits drawn once from the grey values, "
    "where the papers have 50,000 training digits of a binarisation of their own; likelihoods are lower "
    "here, and a method that needs many rows is at a disadvantage."
)
_GERMAIN = (
    "Germain, Gregor, Murray, Larochelle. MADE: Masked Autoencoder for Distribution Estimation. ICML 2015. "
    "arXiv:1502.03509v2"
)


def averaged_orders(seed: int, scale: Scale) -> Mapping[str, float]:
    """The log-likelihood of one trained EoNADE under its first order, its first four, and all sixteen."""
    data = task.load(_DATA, scale=scale, binarise=_BITS)
    train, test = task.split(data, seed)
    settings = {"num_orders": 16, "max_epochs": 100}
    method = task.method("eonade", data, {} if scale == "smoke" else settings, scale)
    model = task.fit(method, train, Run(seed=seed, scale=scale))
    assert isinstance(model, EoNADEModel)
    found = {}
    for count in (1, 4, 16):
        few = replace(model, structure={"orders": model.structure["orders"][:count]})
        found[f"{count} orders"] = float(np.mean(task.predict(few, test, Run())))
    return found


claims: tuple[Claim, ...] = (
    Claim(
        name="density/nade-fvsbn-mixture",
        statement="Of binarised digits, NADE is a better model than a fully visible sigmoid belief network, "
        "and that is a better one than a mixture of Bernoullis.",
        source="Larochelle, Murray. The Neural Autoregressive Distribution Estimator. AISTATS 2011 "
        "(test log-likelihoods of binarised MNIST)",
        predictions=(
            Prediction(greater="nade", smaller="fvsbn", margin=1.0),
            Prediction(greater="fvsbn", smaller="mixture", margin=5.0),
        ),
        measure=race(
            "density",
            {
                "mixture": ("mixture", {"num_components": 100}),
                "fvsbn": ("fvsbn", {"learning_rate": 0.003}),
                "nade": ("nade", {"learning_rate": 0.003}),
            },
            data=_DATA,
            binarise=_BITS,
        ),
        shrunk=f"{_SHRUNK} 100 hidden units, and 100 components.",
        seeds=3,
    ),
    Claim(
        name="density/made-direct-connections",
        statement="MADE gains from direct connections between its inputs and outputs.",
        source=f"{_GERMAIN} (direct connections from inputs to outputs)",
        predictions=(Prediction(greater="direct", smaller="hidden only", margin=0.2),),
        measure=race(
            "density",
            {
                "direct": ("made", {"num_masks": 1, "random_orders": False}),
                "hidden only": (
                    "made",
                    {"num_masks": 1, "random_orders": False, "direct": False},
                ),
            },
            data=_DATA,
            binarise=_BITS,
        ),
        shrunk=f"{_SHRUNK} One hidden layer of 500 units.",
        seeds=3,
    ),
    Claim(
        name="density/made-sampled-masks",
        statement="MADE trained with several sets of masks, and averaged over them, is a better model than "
        "MADE with one.",
        source=f"{_GERMAIN} (order- and connectivity-agnostic training)",
        predictions=(Prediction(greater="eight masks", smaller="one mask", margin=0.5),),
        measure=race(
            "density",
            {
                "one mask": ("made", {"num_masks": 1, "random_orders": True}),
                "eight masks": ("made", {"num_masks": 8, "random_orders": True}),
            },
            data=_DATA,
            binarise=_BITS,
        ),
        shrunk=f"{_SHRUNK} Eight sets of masks, one hidden layer of 500 units.",
        seeds=3,
    ),
    Claim(
        name="density/eonade-more-orders",
        statement="The more orders an orderless NADE is averaged over, the better a model it is.",
        source="Uria, Murray, Larochelle. A Deep and Tractable Density Estimator. ICML 2014. "
        "arXiv:1310.1757v2 (ensembles of orders)",
        predictions=(
            Prediction(greater="4 orders", smaller="1 orders", margin=0.5),
            Prediction(greater="16 orders", smaller="4 orders", margin=0.2),
        ),
        measure=averaged_orders,
        shrunk=f"{_SHRUNK} One hidden layer of 200 units; up to 16 orders.",
        seeds=3,
    ),
)
