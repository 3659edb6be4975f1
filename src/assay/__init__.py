"""assay: which machine-learning method should I use, on my data, at my budget?

Public names are imported when they are first used: `import assay` costs nothing.
"""

import lazy_loader

__version__ = "0.1.0"
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
