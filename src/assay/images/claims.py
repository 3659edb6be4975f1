"""What the papers of the images wing say, as comparisons that can fail.

The margins were written before the experiments were run; the records are in `claims/records/images`. More is
better: quantities are accuracies, or losses with their sign turned.
"""

from collections.abc import Mapping
from dataclasses import replace

from assay.core.claim import Claim, Prediction, race
from assay.core.run import Run, Scale
from assay.images.contract import ImageData, split
from assay.images.task import task

_RESIDUAL_EXAMPLES, _RESIDUAL_TRAIN = 12_800, 6_400
_FEW = 0.05


def depths(seed: int, scale: Scale) -> Mapping[str, float]:
    """The training loss, with its sign turned, of plain and residual nets of 8 and 44 layers, by SGD."""
    import torch

    from assay.images.metrics import log_loss
    from assay.images.preprocessing import Preprocessing
    from assay.images.resnet import ResNet, ResNetConfig
    from assay.images.training import trained
    from assay.train.seeding import seeded

    smoke = scale == "smoke"
    data = replace(task.load("fashion-mnist", scale=scale), max_train=60 if smoke else _RESIDUAL_TRAIN)
    train, _ = split(data, seed)
    found = {}
    for depth in (8, 14 if smoke else 44):
        for name, shortcut in (("plain", "none"), ("residual", "padding")):
            run = Run(seed=seed, scale=scale)
            with seeded(run):
                network = ResNet(ResNetConfig.cifar(depth, width=8, num_channels=1, shortcut=shortcut))
                model = trained(
                    network,
                    Preprocessing.of(train),
                    train,
                    run,
                    optimizer=torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4),
                    examples=120 if smoke else _RESIDUAL_EXAMPLES,
                    batch_size=64,
                    shift=0,
                    flip=False,
                )
                loss = log_loss(model.log_probs(train.images), train.labels)
            found[f"{name}, {'shallow' if depth == 8 else 'deep'}"] = -loss
    return found


def few_labels(seed: int, scale: Scale) -> Mapping[str, float]:
    """The accuracy of a pretrained probe and of a net from scratch, with few labels and with all of them."""
    data = task.load("emoji", scale=scale)
    found = {}
    for share, told in ((_FEW, "few"), (1.0, "all")):
        asked: ImageData = replace(data, labels=share)
        train, test = split(asked, seed)
        arms = {"probe": ("efficientnet-probe", {"max_images": None}), "scratch": ("resnet", {})}
        for name, (method, settings) in arms.items():
            run = Run(seed=seed, scale=scale)
            model = task.fit(task.method(method, asked, settings, scale), train, run)
            found[f"{name}, {told} labels"] = task.score(task.predict(model, test, run), test)["accuracy"]
        found[f"advantage, {told} labels"] = found[f"probe, {told} labels"] - found[f"scratch, {told} labels"]
    return found


claims: tuple[Claim, ...] = (
    Claim(
        name="images/residual-nets-go-deep",
        statement="The training loss of plain networks gets worse with depth, that of residual networks does "
        "not.",
        source="He, Zhang, Ren, Sun. Deep Residual Learning for Image Recognition. CVPR 2016. "
        "arXiv:1512.03385v1, Sec. 4.2, Fig. 6",
        predictions=(
            Prediction(greater="plain, shallow", smaller="plain, deep", margin=0.3),
            Prediction(greater="residual, deep", smaller="plain, deep", margin=0.3),
            Prediction(greater="residual, deep", smaller="residual, shallow", margin=-0.1),
        ),
        measure=depths,
        shrunk="6,400 images of Fashion-MNIST, twice, where the paper has CIFAR-10 for 160 epochs; 8 and 44 "
        "layers of 8 to 32 channels for 20 and 56 of 16 to 64. After so short a training a deep net that "
        "would get there later looks like one that never does.",
        finding="In every seed the deep plain net ends above the shallow one, by 0.24 to 0.54 nats, and the "
        "deep residual net below it. With three seeds the interval of gaps that differ so much reaches below "
        "the margin of 0.3.",
        seeds=3,
    ),
    Claim(
        name="images/pretrained-features-save-labels",
        statement="With few labels a linear probe on features of ImageNet is better than a network from "
        "scratch, and the more labels there are the less it is ahead.",
        source="Kornblith, Shlens, Le. Do Better ImageNet Models Transfer Better? CVPR 2019. "
        "arXiv:1805.08974v3 (logistic regression on fixed features; the benefit of pretraining against the "
        "number of images)",
        predictions=(
            Prediction(greater="probe, few labels", smaller="scratch, few labels", margin=0.03),
            Prediction(greater="advantage, few labels", smaller="advantage, all labels", margin=0.02),
        ),
        measure=few_labels,
        shrunk="The groups of emoji, drawn by vendors that were not seen, for photographs; "
        "EfficientNet-Lite0 at 64 pixels and a ResNet of 8 layers for networks of 50 layers and more. Both "
        "see few images: the ResNet 24,000 in all, each of them about 50 times where labels are few.",
        finding="In every seed the probe is ahead by 8 to 12 points with few labels and by 5 to 6 with all, "
        "so that the lead shrinks each time; by how much, 4.4 points in the mean and at least 0.6, three "
        "seeds do not tell well enough for the margin of 2.",
        seeds=3,
    ),
    Claim(
        name="images/vit-needs-data",
        statement="On a small set of images a ResNet is better than a vision transformer that costs about as "
        "much.",
        source="Dosovitskiy et al. An Image is Worth 16x16 Words. ICLR 2021. arXiv:2010.11929v2, Sec. 4.3, "
        "Fig. 3 and 4",
        predictions=(Prediction(greater="resnet", smaller="vit", margin=0.02),),
        measure=race("images", {"resnet": ("resnet", {}), "vit": ("vit", {})}, data="fashion-mnist"),
        shrunk="20,000 images of Fashion-MNIST and 24,000 seen in training, for ImageNet and JFT; networks "
        "of 0.1 to 0.4 million parameters for 86 and more. Both are far from trained to the end.",
        seeds=3,
    ),
)
