"""What docs/fast-convolution.md shows runs, and gives what it says."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

PAGE = Path(__file__).parents[2] / "docs" / "fast-convolution.md"


def test_the_blocks_of_the_page_run(capsys: pytest.CaptureFixture[str]) -> None:
    scope: dict[str, object] = {}
    for block in re.findall(
        r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL
    ):
        exec(block, scope)
    assert "im2col" in capsys.readouterr().out  # `print(plan)`
    assert float(np.asarray(scope["difference"])) < 1e-4
