"""Commands that are imported when they are called: a start costs what it needs."""

from __future__ import annotations

HOMES = {
    "check": "check",
    "compile": "compiling",
    "completion": "completion",
    "draw": "draw",
    "run": "run",
    "bench": "bench",
    "summary": "summary",
    "explain": "explain",
    "import": "importing",
    "fmt": "fmt",
    "keys": "keys",
    "list": "listing",
    "lsp": "lsp",
    "solve": "solve",
    "diff": "diff",
    "roofline": "roofline",
    "counts": "counts",
    "memory": "memory",
    "sizes": "sizes",
    "watch": "watch",
}
"""Each command's name, and that of the module here and the function in it."""
