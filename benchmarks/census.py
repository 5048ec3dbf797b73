"""Of timm's convolutional networks, how many consist only of what the language has.

    python benchmarks/census.py [NAME …]

Each network is recorded by `torch.export`, without values, and each recorded call looked up
among those for which the importer has a rule, which leads to an operation of the language.
Prints a line a network with what is missing, then the sum. Whether an import succeeds is more
(`python -m tests.importing.sweep`): that asks for the arguments of each call and a proof.
"""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections import Counter
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from torch.export import ExportedProgram, export

from cnndsl.importing.aten import RULES, VIEWS
from cnndsl.importing.aten.table import SAME
from tests.importing.sweep import TIMM, timm

KNOWN = {*RULES, *VIEWS, *SAME, "dropout"}
"""What has a rule, only moves what is there, or does nothing in evaluation."""


def recorded(name: str) -> ExportedProgram:
    """What a network does with images of its own size."""
    with torch.device("meta"), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = timm.create_model(name).eval()
        images = torch.zeros(2, *module.pretrained_cfg["input_size"])
        return export(module, (images,), strict=False)


def missing(program: ExportedProgram) -> Counter[str]:
    """The calls that the language has no word for, and how often they are made."""
    found: Counter[str] = Counter()
    for node in program.graph.nodes:
        if node.op == "call_function" and hasattr(node.target, "_schema"):
            word = node.target._schema.name.partition("::")[2]
            words = {word, word.removesuffix("_")}
            found[word] += bool(node.all_input_nodes) and not words & KNOWN
    return +found


def main() -> None:
    """Print a line a network, and the sum."""
    logging.disable(logging.CRITICAL)
    names = sys.argv[1:] or TIMM.split()
    whole = 0
    for name in names:
        lacks = missing(recorded(name))
        whole += not lacks
        said = ", ".join(f"{word} ({count})" for word, count in lacks.items()) or "all"
        print(f"{name:28}{said}", flush=True)
    print(f"{whole} of {len(names)} consist of what the language has")


if __name__ == "__main__":
    main()
