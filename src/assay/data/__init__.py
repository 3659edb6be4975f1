"""What users bring: tables, labelled images, pairs of image and text; and the default data sets."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
