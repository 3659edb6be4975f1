"""The pretrained network changes a little, and learns."""

import pytest
import torch

from assay.core.run import Run
from assay.data.fetch import FetchError
from assay.images.efficientnet_fine_tune import EfficientNetFineTune
from assay.images.efficientnet_lite import EfficientNetLite0
from assay.images.metrics import top_k_accuracy


@pytest.fixture(scope="module")
def pretrained():
    try:
        return EfficientNetLite0(0, pretrained=True).eval()
    except FetchError as error:
        pytest.skip(f"the weights cannot be fetched here: {error}")


def statistics(network):
    norms = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    return [x for norm in norms for x in (norm.running_mean, norm.running_var)]


def test_fine_tuning_changes_the_network_and_learns(pretrained, coloured):
    method = EfficientNetFineTune(size=32, examples=240, batch_size=20)
    model = method.fit(coloured, run=Run())
    assert isinstance(model.network, EfficientNetLite0)
    change = (model.network.stem.conv.weight - pretrained.stem.conv.weight).abs().max()
    assert 0 < change < 0.1 * pretrained.stem.conv.weight.abs().max()
    assert model.history[-1].examples == 240
    assert top_k_accuracy(model.log_probs(coloured.images), coloured.labels) > 0.6
    kept, first = statistics(model.network), statistics(pretrained)
    assert len(kept) == len(first) > 10
    assert all(torch.equal(a, b) for a, b in zip(kept, first, strict=True))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": 31}, "expected a size of at least 32"),
        ({"learning_rate": 0.0}, "expected learning_rate above 0, got 0.0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        EfficientNetFineTune(**changes)
