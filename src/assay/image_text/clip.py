"""CLIP: a picture must find its own text among all texts of the batch, and a text its picture.

Two towers bring images and texts into one space, where what belongs together is close; then any text is a
query, and any list of names a classifier.

Reference:
    Radford, Kim, Hallacy, Ramesh, Goh, Agarwal, Sastry, Askell, Mishkin, Clark, Krueger, Sutskever.
        "Learning Transferable Visual Models From Natural Language Supervision". ICML 2021. arXiv:2103.00020v1
    Implements: Figure 3; the scale as a logarithm from log(1 / 0.07), kept in [1, 100] after each step.
    Departs: Muon for the hidden matrices; small towers, by default without attention; duplicates of a group
        are no negatives; the scale is clamped from below too.
    Verified: see `contrast` (loss) and `clip_model` (architecture).
"""

from dataclasses import dataclass

from assay.core.run import Run
from assay.data.pairs import Pairs
from assay.image_text.contrast import LOG_SCALE_OF_SOFTMAX
from assay.image_text.model import ImageTextModel
from assay.image_text.ranks import softmax_loss_of_ranks
from assay.image_text.training import TwoTowers
from assay.train.seeding import seeded


@dataclass(frozen=True, kw_only=True)
class CLIP(TwoTowers):
    """Two towers trained by the softmax loss; the settings are those of `TwoTowers`."""

    def fit(self, pairs: Pairs, *, run: Run | None = None) -> ImageTextModel:
        """The fitted model."""
        run = run or Run()
        with seeded(run):
            module, tokenizer = self.towers(pairs, run, log_scale=LOG_SCALE_OF_SOFTMAX)

            def loss(images, texts, groups):
                return softmax_loss_of_ranks(images, texts, module.logit_scale, groups=groups)

            history, moments = self.contrast(module, tokenizer, pairs, self.inputs(pairs), loss, run)
            return self.fitted(module, tokenizer, pairs, history, moments)
