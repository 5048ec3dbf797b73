"""Of timm's convolutional networks, how many consist only of what the language has.

    python benchmarks/census.py [NAME …]

Each network is recorded by `torch.export`, without values, and each recorded call looked up
among those for which the importer has a rule, which leads to an operation of the language.
Prints a line a network with what is missing, then the sum. What is computed of parameters
alone (a weight that is normalised before it convolves) is missing too, unless it is only
their view.
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


def recorded(name: str) -> ExportedProgram:
    """What a network does with images of its own size."""
    with torch.device("meta"), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = timm.create_model(name).eval()
        images = torch.zeros(2, *module.pretrained_cfg["input_size"])
        return export(module, (images,), strict=False)


def missing(program: ExportedProgram) -> Counter[str]:
    """The calls that the language has no word for, and how often they are made."""
    signature = program.graph_signature
    flowing = {
        node
        for node in program.graph.nodes
        if node.op == "placeholder" and node.name in signature.user_inputs
    }
    found: Counter[str] = Counter()
    for node in program.graph.nodes:
        if node.op != "call_function" or not hasattr(node.target, "_schema"):
            # One tensor of several is taken from what gives them.
            flowing |= {node} if flowing & set(node.all_input_nodes) else set()
            continue
        word = node.target._schema.name.partition("::")[2]
        word = word if word in RULES else word.removesuffix("_")
        plain = word in VIEWS | SAME or word == "dropout"
        if flowing & set(node.all_input_nodes):
            flowing.add(node)
            found[word] += not plain and word not in RULES
        elif node.all_input_nodes and not plain:
            found[f"{word} of parameters"] += 1
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
