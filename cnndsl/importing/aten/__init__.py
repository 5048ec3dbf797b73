"""PyTorch's operations as ours: a rule each, from a recorded call to layers.

A rule returns what the call gives as a `Seen`, or a list of them, and refuses what the file
could not say exactly.

Importing this package registers them.
"""

from cnndsl.importing.aten import layers, numbers, ours, pools, shapes, unfolded
from cnndsl.importing.aten.lifting import lifter
from cnndsl.importing.aten.table import COPIES, RULES, SAME, VIEWS, nothing

__all__ = [
    "COPIES",
    "RULES",
    "SAME",
    "VIEWS",
    "layers",
    "lifter",
    "nothing",
    "numbers",
    "ours",
    "pools",
    "shapes",
    "unfolded",
]
