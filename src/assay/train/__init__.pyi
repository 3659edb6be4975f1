from .ema import Ema as Ema
from .loop import train as train
from .muon import Muon as Muon
from .optimizers import adamw as adamw
