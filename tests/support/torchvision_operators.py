"""Lets torchvision, and with it open_clip, be imported beside another build of torch than it was made for.

Its compiled operators do not load there, and its Python files stop at the first of them they describe. Here
they are declared by name, without anything behind them: what calls one still fails, what does not works.
"""

import torch

_NAMES = (
    "nms",
    "qnms",
    "deform_conv2d",
    "_deform_conv2d_backward",
    "qroi_align",
    *(f"{kind}{pool}" for kind in ("", "ps_") for pool in ("roi_align", "roi_pool")),
    *(f"_{kind}{pool}_backward" for kind in ("", "ps_") for pool in ("roi_align", "roi_pool")),
)


def declared() -> torch.library.Library:
    """The operators' declarations, which hold as long as they are kept; before the first import."""
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in _NAMES:
        library.define(f"{name}() -> ()")
    return library
