"""DFN: a small CLIP, trained on clean pairs, chooses from a noisy pool what another CLIP is trained on.

Reference:
    Fang, Jose, Jain, Schmidt, Toshev, Shankar. "Data Filtering Networks". ICLR 2024. arXiv:2309.17425v2
    Implements: Section 3: filter, scores by cosine, the best fraction of the whole pool, a new model.
    Departs: as `clip`.
    Verified: the choice against sorting by loops; known noise in the wing's claim.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assay.core.run import Run
from assay.data.pairs import Pairs
from assay.image_text.clip import CLIP
from assay.image_text.contract import check_trainable
from assay.image_text.model import ImageTextModel
from assay.image_text.training import TwoTowers

_AT_ONCE = 1024


def chosen(scores: NDArray[np.floating], fraction: float, keys: Sequence[str]) -> NDArray[np.int64]:
    """The positions, in ascending order, of the best `fraction` of a pool: exactly round(n fraction).

    Args:
        scores: more is better.
        fraction: in [0, 1].
        keys: a name for each; of equal scores the smaller name wins, wherever it stands in the pool.

    Raises:
        ValueError: the fraction is outside [0, 1], or there are as many keys as scores.
    """
    if not 0 <= fraction <= 1:
        raise ValueError(f"expected a fraction in [0, 1], got {fraction}")
    if len(keys) != len(scores):
        raise ValueError(f"expected a key for each of {len(scores)} scores, got {len(keys)}")
    count = int(np.floor(len(scores) * fraction + 0.5))
    best = sorted(range(len(scores)), key=lambda i: (-float(scores[i]), keys[i]))[:count]
    return np.array(sorted(best), np.int64)


def pair_scores(model: ImageTextModel, pairs: Pairs, languages: Sequence[str] | None = None) -> np.ndarray:
    """The cosine of each pair's image with its texts, float32 [pairs]; the mean if there are several."""
    spoken = tuple(languages or pairs.languages)
    found = []
    for start in range(0, len(pairs), _AT_ONCE):
        part = pairs.take(slice(start, start + _AT_ONCE))
        texts = [[t for one in spoken for t in part.texts(i, one)] for i in range(len(part))]
        owner = np.repeat(np.arange(len(part)), [len(own) for own in texts])
        said = model.encode_text([t for own in texts for t in own])
        cosines = (model.encode_image(part)[owner] * said).sum(axis=1)
        found.append(np.bincount(owner, cosines, len(part)) / np.bincount(owner, minlength=len(part)))
    return np.concatenate(found).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class DFN(TwoTowers):
    """A filter, its choice, and a model trained on it.

    Pairs with a true value in their column `clean` train the filter, the others are the pool. Without such a
    column a random share takes their place.

    Args:
        keep: share of the pool that is trained on, in (0, 1].
        clean: share of all pairs that trains the filter where no column says which are clean.
        filter_examples: pairs seen by the filter; the model sees `examples`, however many are kept.
    """

    keep: float = 0.5
    clean: float = 0.2
    filter_examples: int = 30_000

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("keep", "clean"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"expected {name} in (0, 1], got {getattr(self, name)}")

    def fit(self, pairs: Pairs, *, run: Run | None = None) -> ImageTextModel:
        """The model trained on what the filter chose; a budget is the filter's and again the model's half."""
        run = run or Run()
        clean = self.known_clean(pairs, run)
        pool = pairs.take(np.flatnonzero(~clean))
        known = pairs.take(np.flatnonzero(clean))
        judge = self.student(self.filter_examples).fit(known, run=run.part("filter", 0.5))
        kept = pool.take(self.selected(judge, pool))
        check_trainable(kept)
        model = self.student(self.examples).fit(kept, run=run.part("student", 0.5))
        model.facts = {"clean pairs": int(clean.sum()), "pool": len(pool), "kept": len(kept)}
        return model

    def selected(self, judge: ImageTextModel, pool: Pairs) -> NDArray[np.int64]:
        """The positions of the pairs of a pool that the filter keeps."""
        keys = [f"{group:020d} {'|'.join(pool.texts(i))}" for i, group in enumerate(pool.groups.tolist())]
        return chosen(pair_scores(judge, pool, self.spoken), self.keep, keys)

    def known_clean(self, pairs: Pairs, run: Run) -> NDArray[np.bool_]:
        """Which pairs train the filter."""
        if "clean" in pairs.columns:
            return np.asarray(pairs.column("clean"), bool)
        return run.rng("clean").random(len(pairs)) < self.clean

    def student(self, examples: int) -> CLIP:
        """The CLIP with these settings; its batch fits few pairs too."""
        own = {name: getattr(self, name) for name in TwoTowers.__dataclass_fields__}
        return CLIP(**{**own, "examples": examples})
