"""What the papers of the tabular methods say about them, as comparisons that can fail.

The margins were written before the experiments were run; the records are in `claims/records/tabular`.
"""

from assay.core.claim import Claim, Prediction, race
from assay.tabular import experiments

_BREIMAN_1996 = "Breiman. Bagging Predictors. Machine Learning 24(2), 1996"
_BREIMAN_2001 = "Breiman. Random Forests. Machine Learning 45(1), 2001"
_CHEN_2016 = "Chen, Guestrin. XGBoost: A Scalable Tree Boosting System. KDD 2016. arXiv:1603.02754v3"

claims: tuple[Claim, ...] = (
    Claim(
        name="tabular/forest-bagging-tree",
        statement="A random forest errs less than bagged trees, and bagged trees err less than one tree.",
        source=f"{_BREIMAN_1996}, Section 2 (bagging and one tree); {_BREIMAN_2001}, Section 4 (forests)",
        predictions=(
            Prediction(greater="forest", smaller="bagging", margin=0.001),
            Prediction(greater="bagging", smaller="tree", margin=0.01),
        ),
        measure=race(
            "tabular",
            {
                "tree": ("cart", {}),
                "bagging": ("bagging", {"n_estimators": 50}),
                "forest": ("random-forest", {"n_estimators": 50}),
            },
            data="adult",
            metric="accuracy",
        ),
        shrunk="One data set, the adult census, instead of the papers' collections; no tree is pruned, "
        "while Breiman (1996) prunes the single tree, which makes it a stronger opponent than here.",
        finding="Five splits do not settle whether the accuracies differ by more than 0.001. The AUC of the "
        "same models does tell them apart: 0.9071 against 0.9025 on average of three seeds, and 0.9102 "
        "against 0.9059 with 200 trees.",
    ),
    Claim(
        name="tabular/regression-forest-bagging-tree",
        statement="For numbers, too, a forest errs less than bagged trees, and these err less than one tree.",
        source=f"{_BREIMAN_1996}, Section 3 (bagging and one tree); {_BREIMAN_2001}, Section 11 (forests)",
        predictions=(
            Prediction(greater="forest", smaller="bagging", margin=0.002),
            Prediction(greater="bagging", smaller="tree", margin=0.1),
        ),
        measure=race(
            "tabular",
            {
                "tree": ("cart", {}),
                "bagging": ("bagging", {"n_estimators": 50}),
                "forest": ("random-forest", {"n_estimators": 50, "max_features": 1 / 3}),
            },
            data="california_housing",
            metric="R2",
        ),
        shrunk="One data set, California housing. Splits are on a third of the single features, where the "
        "paper's regression forests use random sums of two; a forest that looks at all features is bagging.",
    ),
    Claim(
        name="tabular/more-trees-never-hurt",
        statement="A forest's test error falls with the number of trees, and settles without rising again.",
        source=f"{_BREIMAN_2001}, Theorem 1.2",
        predictions=(
            Prediction(greater="10 trees", smaller="1 trees", margin=0.01),
            Prediction(greater="50 trees", smaller="10 trees", margin=0.0),
            Prediction(greater="200 trees", smaller="50 trees", margin=-0.001),
        ),
        measure=experiments.growing_forest,
        shrunk="The theorem is about the limit; here the numbers of trees are 1, 10, 50 and 200.",
    ),
    Claim(
        name="tabular/one-feature-per-split",
        statement="Forests hardly depend on how many features a split looks at; one does as well as several.",
        source=f"{_BREIMAN_2001}, Section 4 (F = 1 beside F = int(log2(M) + 1))",
        predictions=(
            Prediction(greater="one feature", smaller="log2(M) + 1 features", margin=-0.01),
            Prediction(greater="log2(M) + 1 features", smaller="one feature", margin=-0.01),
        ),
        measure=race(
            "tabular",
            {
                "one feature": ("random-forest", {"max_features": 1}),
                "log2(M) + 1 features": ("random-forest", {"max_features": 4}),
            },
            data="adult",
            metric="accuracy",
        ),
        shrunk="One data set, the adult census with M = 14; leaves are averaged instead of voting.",
    ),
    Claim(
        name="tabular/adaboost-bound",
        statement="After every round, AdaBoost's training error is at most the product of 2 sqrt(e (1 - e)).",
        source="Freund, Schapire. A Decision-Theoretic Generalization of On-Line Learning and an Application "
        "to Boosting. JCSS 55(1), 1997, Theorem 6",
        predictions=(
            Prediction(greater="least slack", margin=-1e-9),
            Prediction(greater="final bound", smaller="final error", margin=0.01),
        ),
        measure=experiments.adaboost_bound,
        shrunk="Nothing: a theorem. One data set, 200 rounds of trees with one split.",
    ),
    Claim(
        name="tabular/margins-grow-after-zero-error",
        statement="When AdaBoost's training error is zero, margins still grow and the test error falls.",
        source="Schapire, Freund, Bartlett, Lee. Boosting the Margin: A New Explanation for the "
        "Effectiveness of Voting Methods. Annals of Statistics 26(5), 1998, Figure 1",
        predictions=(
            Prediction(greater="margin at the end", smaller="margin then", margin=0.05),
            Prediction(greater="test error then", smaller="test error at the end", margin=0.005),
        ),
        measure=experiments.boosted_margins,
        shrunk="Two normal classes (twonorm, 300 rows) and trees of depth 3 instead of the letters and "
        "C4.5; 1,000 rounds as there.",
    ),
    Claim(
        name="tabular/shrinkage",
        statement="With the same number of rounds to choose from, a small learning rate errs less than none.",
        source="Friedman. Greedy Function Approximation: A Gradient Boosting Machine. Annals of Statistics "
        "29(5), 2001, Section 5 and Figure 1",
        predictions=(
            Prediction(greater="rate 1.0", smaller="rate 0.25", margin=0.01),
            Prediction(greater="rate 0.25", smaller="rate 0.06", margin=-0.005),
        ),
        measure=experiments.shrinkage,
        shrunk="California housing instead of simulated targets; the number of rounds, at most 500, is "
        "chosen on held-out rows, and 500 may be few for the smallest rate.",
        finding="500 rounds are too few for the rate 0.06: the best ones for the held-out rows are the "
        "489th and the 500th (seeds 0 and 1). With 2,500 rounds it comes to an RMSE of 0.452 and 0.442, "
        "where the rate 0.25, at its best after 483 and 398, has 0.462 and 0.450.",
    ),
    Claim(
        name="tabular/row-subsampling",
        statement="Gradient boosting errs less when every round sees a random half of the rows.",
        source="Friedman. Stochastic Gradient Boosting. Computational Statistics & Data Analysis 38(4), "
        "2002, Section 3",
        predictions=(Prediction(greater="all rows", smaller="half the rows", margin=0.0),),
        measure=experiments.subsampling,
        shrunk="California housing instead of simulated targets, and deeper trees (depth 6), which leave "
        "more to gain; the number of rounds, at most 500, is chosen on held-out rows.",
        finding="It takes small steps. At the learning rate 0.1, half the rows err more with 4,000 and "
        "11,610 training rows and trees of depth 3 or 6 (LightGBM says the same); only 500 rows and depth 6 "
        "gain, 0.025. At the rate 0.02, with 2,500 rounds and depth 6, half the rows err less by 0.050, "
        "0.012 and 0.005 with 500, 4,000 and 11,610 rows (three seeds each): more rounds average the noise "
        "of the samples out.",
    ),
    Claim(
        name="tabular/second-order",
        statement="Boosting by the second order needs fewer rounds for the same log-loss than by the first.",
        source=f"{_CHEN_2016}, Section 2.2",
        predictions=(
            Prediction(greater="rounds of first order", smaller="rounds of second order", margin=10),
        ),
        measure=experiments.second_order,
        shrunk="The first order is given the best step that holds everywhere, the inverse of the largest "
        "second derivative, 1/4; a plain gradient step of this learning rate would be four times shorter.",
    ),
    Claim(
        name="tabular/groups-of-many-categories",
        statement="Trees split many categories in two groups too often, for what that gains by chance.",
        source="Loh, Shih. Split Selection Methods for Classification Trees. Statistica Sinica 7, 1997 (bias "
        "of exhaustive search); Scott, Knott. A Cluster Analysis Method for Grouping Means in the Analysis "
        "of Variance. Biometrics 30(3), 1974 (what the best two groups gain by chance)",
        predictions=(
            Prediction(greater="groups less chance", smaller="groups as they gain", margin=0.015),
            Prediction(greater="groups less chance", smaller="one against the rest", margin=0.002),
        ),
        measure=experiments.groups_of_categories,
        shrunk="Boosting instead of one tree, judged by its AUC. One data set, 30,000 flights with 105 "
        "destinations; the papers' own results are of selection among columns that tell nothing, and of "
        "tests.",
        finding="Ahead by 0.028 to 0.037 on five samples. They do not settle whether one "
        "category against the rest is behind by 0.002; on five samples of 45,000 other flights it is, by "
        "0.0050 [0.0035, 0.0066], and on five of 150,000 by 0.0078 [0.0044, 0.0113].",
    ),
    Claim(
        name="tabular/column-sampling-under-noise",
        statement="Among columns of noise, sampling columns for every tree makes boosting err less.",
        source=f"{_CHEN_2016}, Section 2.3",
        predictions=(Prediction(greater="everything", smaller="half the columns", margin=0.0),),
        measure=experiments.column_sampling,
        shrunk="California housing with forty columns of normal noise beside its eight.",
        finding="Half the columns are half of the few that matter, too. Trees without the income turn to the "
        "noise, which has 55 % of all splits instead of 51 %; without columns of noise this sampling costs "
        "0.003, so under noise it gains little more than it loses. Four fifths of the columns err less than "
        "all on each of four seeds, by 0.002; a quarter of them at every node errs more, by 0.017.",
    ),
    Claim(
        name="tabular/columns-over-rows",
        statement="Sampling columns prevents overfitting even more than sampling rows.",
        source=f"{_CHEN_2016}, Section 2.3",
        predictions=(Prediction(greater="half the rows", smaller="half the columns", margin=0.0),),
        measure=experiments.column_sampling,
        shrunk="The paper reports what users say, without a figure. California housing with forty columns "
        "of normal noise, where columns should pay most; half of either.",
        finding="It holds since half the rows err more than all of them at this learning rate (see "
        "row-subsampling), 0.490 against 0.474, not since half the columns err much less.",
    ),
    Claim(
        name="tabular/approximate-splits",
        statement="Twenty buckets of equal hessian per feature do as well as every threshold; three do not.",
        source=f"{_CHEN_2016}, Section 3.2 and Figure 3 (global proposals, eps = 0.05 and 0.3)",
        predictions=(
            Prediction(greater="exact", smaller="20 buckets", margin=-0.01),
            Prediction(greater="3 buckets", smaller="20 buckets", margin=0.01),
        ),
        measure=experiments.approximation,
        shrunk="California housing and its RMSE instead of ten million collisions and their AUC; the "
        "hessian of the squared error is one, so buckets hold equally many rows.",
        finding="Where a district lies decides, and twenty buckets of latitude and longitude are too "
        "coarse. Without these columns exact splits gain 0.011, with nothing else 0.16; with 64 buckets of "
        "all columns they gain nothing. The xgboost package has the same gap, 0.493 against 0.467.",
    ),
    Claim(
        name="tabular/stacking-best-base",
        statement="A stack predicts at least as well as the best of its base methods.",
        source="Ting, Witten. Issues in Stacked Generalization. JAIR 10, 1999, Section 3; "
        "Breiman. Stacked Regressions. Machine Learning 24, 1996",
        predictions=(Prediction(greater="stack", smaller="best base", margin=-0.0005),),
        measure=experiments.stacking,
        shrunk="One data set, the adult census; the best base is picked by the test rows themselves, which "
        "favours it.",
        finding="The stack is its best base: of the standardised weights XGBoost has 0.99, the forest 0.05 "
        "and CART -0.01, so there is nothing to gain, and nothing is lost.",
    ),
)
