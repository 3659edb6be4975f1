"""What is said about estimates from noisy samples, as comparisons that can fail.

The margins were written before the experiments were run; the records are in `claims/records/estimation`.
"""

from assay.core.claim import Claim, Prediction
from assay.estimation import experiments

_ZHAO = "Zhao. Mathematical Foundations of Reinforcement Learning. Springer 2025"
_ROBBINS_MONRO = (
    "Robbins, Monro. A Stochastic Approximation Method. Annals of Mathematical Statistics 22(3), 1951"
)
_POLYAK = (
    "Polyak, Juditsky. Acceleration of Stochastic Approximation by Averaging. SIAM Journal on Control and "
    "Optimization 30(4), 1992"
)

claims: tuple[Claim, ...] = (
    Claim(
        name="estimation/law-of-large-numbers",
        statement="The mean of n flips of a coin is off by 1 / sqrt(n): 0.0707 for 200 flips.",
        source=f"{_ZHAO}, section 5.1 (flips of a coin)",
        predictions=(
            Prediction(greater="error of 20 flips / error of 200", margin=3.0),
            Prediction(greater="1.05 / sqrt(200)", smaller="error of 200 flips", margin=0.0),
        ),
        measure=experiments.flips,
        shrunk="Nothing: 2,000 repetitions instead of the book's one.",
    ),
    Claim(
        name="estimation/step-size-conditions",
        statement="Steps must sum to infinity and their squares must not: else the root is not reached.",
        source=f"{_ROBBINS_MONRO}, Theorem 2; {_ZHAO}, section 6.2 (the Robbins-Monro theorem)",
        predictions=(
            Prediction(greater="1/k^2", smaller="1/k", margin=0.3),
            Prediction(greater="0.1", smaller="1/k", margin=0.1),
            Prediction(greater="0.1", smaller="0.1 after a tenth", margin=-0.02),
        ),
        measure=experiments.step_sizes,
        shrunk="One function, tanh(w - 1) from 3 with standard normal noise; 10,000 steps stand for all.",
    ),
    Claim(
        name="estimation/root-from-noise",
        statement="Noisy values alone lead to the root, with an error that falls as 1 / sqrt(k).",
        source=f"{_ROBBINS_MONRO}, Theorem 2; {_ZHAO}, section 6.2 (tanh(w - 1) from 3)",
        predictions=(
            Prediction(greater="error of 100 / error of 10,000", margin=8.0),
            Prediction(greater="error of 100 values", smaller="error of 10,000 values", margin=0.05),
        ),
        measure=experiments.root_from_noise,
        shrunk="Nothing; the book's figure is without noise, to which the theorem adds some.",
    ),
    Claim(
        name="estimation/textbook-cubic",
        statement="With steps 1/k from 0 the iteration reaches the root of w^3 - 5 from noisy values.",
        source=f"{_ZHAO}, section 6.2, the first example",
        predictions=(Prediction(greater="share of runs that stay", margin=0.5),),
        measure=experiments.cubic,
        shrunk="Nothing: start, steps and standard normal noise are the example's. Only staying below 1,000 "
        "for 50 steps is asked for, which is less than converging.",
        finding="The slope 3 w^2 has no upper bound, so a condition of the theorem does not hold. Without "
        "noise the estimates are 5, -55 and 55,405 after three steps; less than 1 % of the noisy runs escape "
        "that. Steps of 1/k need a start within about 1.6 to 2.0, or an interval to be projected onto.",
    ),
    Claim(
        name="estimation/projection",
        statement="Kept in an interval, the same steps reach the root of w^3 - 5, as precisely as expected.",
        source="Kushner, Clark. Stochastic Approximation Methods for Constrained and Unconstrained Systems. "
        "Springer 1978, chapter 5; Chung. On a Stochastic Approximation Method. Annals of Mathematical "
        "Statistics 25(3), 1954 (the asymptotic variance)",
        predictions=(
            Prediction(greater="error / theory", margin=0.9),
            Prediction(greater="1.1", smaller="error / theory", margin=0.0),
        ),
        measure=experiments.projection,
        shrunk="An asymptotic statement, after 1,000 steps.",
    ),
    Claim(
        name="estimation/averaging",
        statement="Averaged iterates have the least possible error for every first step; last ones do not.",
        source=f"{_POLYAK}, Theorem 2",
        predictions=(
            Prediction(greater="1.25", smaller="average, c = 0.3", margin=0.0),
            Prediction(greater="1.25", smaller="average, c = 1", margin=0.0),
            Prediction(greater="1.25", smaller="average, c = 3", margin=0.0),
            Prediction(greater="last, c = 0.3", smaller="average, c = 0.3", margin=1.0),
            Prediction(greater="last, c = 3", smaller="average, c = 3", margin=0.1),
        ),
        measure=experiments.averaging,
        shrunk="One function, tanh(w - 1) from 3; an asymptotic statement, after 10,000 steps.",
        finding="Open only for the shortest first step, 0.3: the average still holds the way from the start, "
        "a bias of 0.7 of the least error. From the root itself the error is 1.08 of the least one, and from "
        "3 after 100,000 steps 1.05: the statement is about the limit, and short steps reach it later.",
    ),
    Claim(
        name="estimation/averaging-in-the-limit",
        statement="The error of averaged iterates comes to the least possible one as samples are added, for "
        "every first step.",
        source=f"{_POLYAK}, Theorem 2",
        predictions=(
            Prediction(greater="1.25", smaller="average, c = 0.3", margin=0.0),
            Prediction(greater="1.25", smaller="average, c = 1", margin=0.0),
            Prediction(greater="1.25", smaller="average, c = 3", margin=0.0),
            Prediction(greater="a tenth of them, c = 0.3", smaller="average, c = 0.3", margin=0.1),
        ),
        measure=experiments.averaging_in_the_limit,
        shrunk="One function, tanh(w - 1) from 3. estimation/averaging with its margin, after 100,000 "
        "samples instead of 10,000: the way from the start, which the average holds, weighs 1 / sqrt(10) "
        "of what it did.",
    ),
    Claim(
        name="estimation/fast-when-far",
        statement="Stochastic gradients are nearly exact far from the optimum and mostly noise near it.",
        source=f"{_ZHAO}, section 6.4 (how SGD converges)",
        predictions=(
            Prediction(greater="relative error at 5", smaller="relative error at 50", margin=1.0),
            Prediction(greater="relative error at 0.5", smaller="relative error at 5", margin=10.0),
            Prediction(
                greater="spread / distance after 100 steps",
                smaller="spread / distance after 5 steps",
                margin=1.0,
            ),
        ),
        measure=experiments.far_and_near,
        shrunk="Nothing; the world is that of the book's Figure 6.5.",
    ),
    Claim(
        name="estimation/batch-sizes",
        statement="After as many steps, batches of m samples err sqrt(m) times less.",
        source=f"{_ZHAO}, section 6.4, Figure 6.5 (m = 1, 5 and 50)",
        predictions=(
            Prediction(greater="m = 1 / m = 5", margin=2.0),
            Prediction(greater="m = 5 / m = 50", margin=2.8),
        ),
        measure=experiments.batch_sizes,
        shrunk="Nothing: 1,000 repetitions instead of the book's one.",
    ),
)
