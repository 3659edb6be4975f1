from .bernoulli import Bernoulli as Bernoulli
from .contract import BinaryData as BinaryData
from .eonade import EoNADE as EoNADE
from .fvsbn import FVSBN as FVSBN
from .made import MADE as MADE
from .mixture import Mixture as Mixture
from .nade import NADE as NADE
