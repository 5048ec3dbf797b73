"""The commands of analysis, each imported when it is called: a start costs what it needs."""

from __future__ import annotations

HOMES = {
    "bench": "bench",
    "summary": "summary",
    "explain": "explain",
    "keys": "keys",
    "solve": "solve",
    "diff": "diff",
    "roofline": "roofline",
    "counts": "counts",
    "memory": "memory",
    "sizes": "sizes",
}
"""Each command's name, and the module here that holds it."""
