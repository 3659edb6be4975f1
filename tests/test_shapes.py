import pytest
import torch
from shapes import checked


def test_wrong_shapes_are_errors_in_every_wing_that_uses_torch():
    from assay.images.vit import resized_positions

    table = torch.zeros(1, 5, 3)
    assert resized_positions(table, (2, 2), (2, 2)) is table
    with pytest.raises(Exception, match="table"):
        resized_positions(table[0], (2, 2), (2, 2))


def test_what_speaks_of_no_shape_stays_as_it_is():
    def plain(count: int) -> int:
        return count

    assert checked(plain) is plain
