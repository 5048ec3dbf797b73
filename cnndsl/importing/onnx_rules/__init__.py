"""ONNX's operators as ours: a rule each, from a node to layers.

Importing this package registers them.
"""

from cnndsl.importing.onnx_rules import norms, numbers, products, shapes, windows

__all__ = ["norms", "numbers", "products", "shapes", "windows"]
