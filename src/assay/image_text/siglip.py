"""SigLIP: of every picture and every text it is asked alone whether they belong together.

No sum over the batch is needed, which makes it the choice for small batches and for many ranks.

Reference:
    Zhai, Mustafa, Kolesnikov, Beyer. "Sigmoid Loss for Language Image Pre-Training". ICCV 2023.
        arXiv:2303.15343v4
    Implements: Eq. (2); t' from log 10 and b from -10 (Section 3.2); beta2 = 0.95 (Section 4.6).
    Departs: as `clip`.
    Verified: see `contrast` (loss) and `siglip_model` (architecture).
"""

from dataclasses import dataclass

from assay.core.run import Run
from assay.data.pairs import Pairs
from assay.image_text.contrast import BIAS_OF_SIGMOID, LOG_SCALE_OF_SIGMOID
from assay.image_text.model import ImageTextModel
from assay.image_text.ranks import sigmoid_loss_of_ranks
from assay.image_text.training import TwoTowers
from assay.train.seeding import seeded


@dataclass(frozen=True, kw_only=True)
class SigLIP(TwoTowers):
    """Two towers trained by the sigmoid loss.

    Args:
        bias: b at the start; the beginning is slow where it is 0, because nearly all pairs are negatives.
        chunk: images whose similarities with all texts are held at a time; None for all.
        ring: whether texts go from rank to rank instead of being gathered.
    """

    bias: float = BIAS_OF_SIGMOID
    chunk: int | None = None
    ring: bool = False

    def fit(self, pairs: Pairs, *, run: Run | None = None) -> ImageTextModel:
        """The fitted model."""
        run = run or Run()
        with seeded(run):
            module, tokenizer = self.towers(pairs, run, log_scale=LOG_SCALE_OF_SIGMOID, bias=self.bias)

            def loss(images, texts, groups):
                assert module.logit_bias is not None
                return sigmoid_loss_of_ranks(
                    images,
                    texts,
                    module.logit_scale,
                    module.logit_bias,
                    groups=groups,
                    chunk=self.chunk,
                    ring=self.ring,
                )

            history, moments = self.contrast(module, tokenizer, pairs, self.inputs(pairs), loss, run)
            return self.fitted(module, tokenizer, pairs, history, moments)
