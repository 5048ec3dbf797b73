"""What the README and ARCHITECTURE.md say is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import cnndsl
from cnndsl.network import loads
from cnndsl.ops.base import OPS

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
ARCHITECTURE = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", README, re.DOTALL)


def test_the_example_is_the_network_of_the_zoo() -> None:
    (text,) = blocks("arch")
    shown, shipped = cnndsl.loads(text), cnndsl.load("mobilenetv2")
    assert [(n.name, n.op) for n in shown] == [(n.name, n.op) for n in shipped]
    assert (shown.parameters, shown.macs) == (3_504_872, 300_774_272)


def test_the_class_shown_is_the_class_written() -> None:
    block = next(b for b in blocks("python") if "class InvertedResidual" in b)
    assert block in cnndsl.load("mobilenetv2").torch_source()


def test_the_python_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    block = next(b for b in blocks("python") if "import cnndsl" in b)
    scope: dict[str, object] = {}
    exec(block, scope)
    assert capsys.readouterr().out.startswith("3504872 300774272")


def test_the_page_on_weights_runs() -> None:
    text = (ROOT / "docs" / "weights.md").read_text(encoding="utf-8")
    exec("\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL)), {})


def test_the_fault_shown_is_the_fault_said() -> None:
    (shown,) = blocks("text")
    text = "model Bad: image[3, H=224, W=224] -> y {\n  y: conv(64, 3x3, groups=2)\n}\n"
    with pytest.raises(cnndsl.ArchError) as caught:
        loads(text, name="bad.arch")
    assert str(caught.value).startswith(shown.rstrip("\n"))


def test_files_named_are_there() -> None:
    for text in (README, ARCHITECTURE):
        for path in re.findall(r"\]\(([^)]+)\)", text):
            assert (ROOT / path).exists(), path
    for path in re.findall(r"^\| `([\w./]+?)/?`", ARCHITECTURE, re.MULTILINE):
        assert (ROOT / path).exists(), path


def test_operations_of_the_worked_example_are_not_there_yet() -> None:
    assert not {"hardtanh", "unfold"} & set(OPS)
