"""LiT: the image tower is pretrained and locked, and only the text tower learns to say what it sees.

Nothing flows back through the image tower, and without augmentation it is asked only once for each picture:
its answers are kept, which makes a step several times cheaper. The same is done with the pretrained part of
the text tower. `docs/image-text.md` says how the settings were chosen and what came of them.

Reference:
    Zhai, Wang, Mustafa, Steiner, Keysers, Kolesnikov, Beyer. "LiT: Zero-Shot Transfer with Locked-image text
        Tuning". CVPR 2022. arXiv:2111.07991v3
    Implements: Section 3, "Lu": image tower locked and pretrained, text tower from scratch; with `locked`
        false "Uu", both trained.
    Departs: image features are those of all stages, standardised and projected; the text tower is partly
        pretrained and locked too (see `sentences`); as `clip` besides.
    Verified: the image tower's weights and statistics are the same bits after training; training on kept
        features gives the weights of training on pictures.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from assay.core.run import Run
from assay.data.augment import uniforms
from assay.data.pairs import Pairs
from assay.image_text.contrast import LOG_SCALE_OF_SOFTMAX
from assay.image_text.dual_encoder import DualEncoder
from assay.image_text.model import ImageTextModel
from assay.image_text.pictures import at_once
from assay.image_text.ranks import softmax_loss_of_ranks
from assay.image_text.tokenizer import Tokenizer
from assay.image_text.towers import ImageConfig, PretrainedConfig, TextTowerConfig, image_config
from assay.image_text.training import PairLoss, TwoTowers
from assay.train.autocast import autocast
from assay.train.history import History
from assay.train.moments import Moment
from assay.train.seeding import seeded


@dataclass(frozen=True, kw_only=True)
class LiT(TwoTowers):
    """A text tower trained for a pretrained image tower.

    Args:
        image: the pretrained tower.
        text: tower of the texts; `sentences` knows more than the captions' own words.
        locked: whether the image tower stays as it is; else it is trained too, by its running statistics, and
            needs a small `image_rate`.
        views: how many versions of each picture are kept, of which one is drawn; all but the first are
            augmented. 0 keeps none, and the tower sees every picture anew, as `augment` says.
        dropout: share of the image features left out in training.
    """

    image: str | ImageConfig = "efficientnet-lite0"
    text: str | TextTowerConfig = "sentences"
    length: int = 32
    tags: float = 0.3
    examples: int = 100_000
    batch_size: int = 512
    augment: bool = False
    learning_rate: float = 0.02
    locked: bool = True
    views: int = 1
    dropout: float = 0.2

    def fit(self, pairs: Pairs, *, run: Run | None = None) -> ImageTextModel:
        """The fitted model.

        Raises:
            ValueError: the image tower is not one with weights.
        """
        run = run or Run()
        if not isinstance(image_config(self.image, self.side), PretrainedConfig):
            raise ValueError(f"expected a pretrained image tower, efficientnet-lite0, got {self.image!r}")
        with seeded(run):
            module, tokenizer = self.towers(
                pairs, run, log_scale=LOG_SCALE_OF_SOFTMAX, standardise=True, dropout=self.dropout
            )
            history, moments = self.tune(module, tokenizer, pairs, run)
            return self.fitted(module, tokenizer, pairs, history, moments)

    def tune(
        self,
        module: DualEncoder,
        tokenizer: Tokenizer,
        pairs: Pairs,
        run: Run,
        loss: PairLoss | None = None,
        states: Tensor | None = None,
    ) -> tuple[History, list[Moment]]:
        """Trains the text tower for the image tower that `module` has.

        Args:
            module: changed in place, but not its image tower if it is locked.
            tokenizer: of the captions.
            pairs: to learn from.
            run: see `Run`.
            loss: the softmax loss if not given.
            states: what `states` gave for these pairs; asked for if not given.
        """
        if self.locked:
            module.lock()
        else:  # By each batch's own statistics its features would not be those that are standardised below.
            module.keep_statistics()
        known = self.states(module, pairs, run, views=max(self.views, 1)) if states is None else states
        module.visual_projection.measure(known[0])

        def softmax(images, texts, groups):
            return softmax_loss_of_ranks(images, texts, module.logit_scale, groups=groups)

        loss = loss or softmax

        if not self.locked or self.views == 0:
            return self.contrast(module, tokenizer, pairs, self.inputs(pairs), loss, run)

        def kept(indices: np.ndarray, rng: np.random.Generator) -> Tensor:
            draws = uniforms(int(rng.integers(2**31)), 0, indices, 1)[:, 0]  # By pair, for any rank.
            view = torch.from_numpy((draws * len(known)).astype(np.int64))
            return known[view, torch.from_numpy(indices)]

        return self.contrast(
            module,
            tokenizer,
            pairs,
            kept,
            loss,
            run,
            encode_image=lambda states, done: module.visual_projection(states),
        )

    def states(self, module: DualEncoder, pairs: Pairs, run: Run, *, views: int) -> Tensor:
        """What the image tower says of every picture, [views, pairs, features]; the first is unchanged."""
        module.train(False)
        rng = run.rng("views")
        shape = (views, len(pairs), module.vision_model.num_features)
        found = torch.empty(shape, device=run.device)
        step = at_once(self.side)
        for view in range(views):
            make = replace(self, augment=view > 0).inputs(pairs)
            for start in range(0, len(pairs), step):
                indices = np.arange(start, min(start + step, len(pairs)))
                with torch.no_grad(), autocast(run):
                    states = module.vision_model.embed(make(indices, rng).to(run.device))
                found[view, start : start + len(states)] = states
                run.progress(0.0, f"looking at picture {start} of {len(pairs)}")
        return found
