from .core.board import Board as Board
from .core.claim import claim as claim
from .core.comparison import compare as compare
from .core.run import Run as Run
from .core.saved import load as load

__version__: str
