"""Of timm's convolutional networks, how many consist only of operations that the language has.

    python benchmarks/census.py [NAME …]

Each network is recorded by `torch.export` without its weights, and each recorded call looked up
among those that the importer reads. Prints a line a network, with what is missing; then the sum.
What is computed of parameters alone (a standardised weight) is missing too, unless it is only
their view: the language has no weight that is computed.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from torch.export import ExportedProgram

from cnndsl.importing.aten import RULES, VIEWS
from tests.importing.sweep import TIMM, timm


def recorded(name: str) -> ExportedProgram:
    """What a network does with an image of its own size."""
    with torch.device("meta"):
        module = timm.create_model(name).eval()
        image = torch.zeros(2, *module.pretrained_cfg["input_size"])
        return torch.export.export(module, (image,), strict=False)
