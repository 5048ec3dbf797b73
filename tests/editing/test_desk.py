"""What the page of the playground asks, without a browser."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cnndsl.editing.desk import Desk, Units
from cnndsl.files import shipped

MODEL = """\
model Net(c: int = 16): image[3, H=32, W=32] -> logits[10] {
  stem: conv(c, 3x3, norm=bn)   # × 😀
  logits: gap -> linear(10)
}
"""


def ask(desk: Desk, do: str, **more: Any) -> Any:
    return json.loads(desk.ask(json.dumps({"do": do, **more})))


def test_a_sound_text_has_shapes_costs_and_a_figure() -> None:
    desk = Desk()
    found = ask(desk, "check", text=MODEL)
    assert found["fresh"]
    assert found["messages"] == []
    assert (found["title"], found["models"]) == ("Net", ["Net"])
    assert found["parameters"] == [{"name": "c", "text": "c: int = 16", "default": "16"}]
    assert [hint["text"] for hint in found["hints"]] == ["→ 16×32×32", "→ 10"]
    svg = ask(desk, "figure", width=320)["svg"]
    assert f'data-file="{found["main"]}" data-span="2-2"' in svg
    assert "data-span" not in ask(desk, "figure", spans=False)["svg"]
    assert ask(desk, "figure", style="scale")["svg"].startswith("<svg")
    assert "stem" in ask(desk, "summary")["text"]
    assert "class Net(nn.Module)" in ask(desk, "torch")["text"]


def test_settings_and_models() -> None:
    desk = Desk()
    other = MODEL + "model Other: image[1, H=8, W=8] -> y {\n  y: conv(2, 3x3)\n}\n"
    first = ask(desk, "check", text=other)["costs"]
    assert first != ask(desk, "check", text=other, settings={"c": "24"})["costs"]
    assert ask(desk, "check", text=other, model="Other")["title"] == "Other"
    # A model that is gone, and a setting that is none, are messages.
    for more in ({"model": "Gone"}, {"settings": {"c": "1 +"}}, {"settings": {"d": "1"}}):
        found = ask(desk, "check", text=other, **more)
        assert not found["fresh"]
        assert found["messages"]


def test_on_a_fault_the_last_figure_stays() -> None:
    desk = Desk()
    ask(desk, "check", text=MODEL)
    before = ask(desk, "figure")
    found = ask(desk, "check", text=MODEL.replace("gap", "gapp"))
    assert not found["fresh"]
    (message,) = found["messages"]
    assert message["here"]
    at = MODEL.replace("gap", "gapp").index("gapp") + 1  # the emoji counts two
    assert message["place"] == [at, at + 4]
    assert message["mend"] == {
        "title": "Replace `gapp` with `gap`",
        "place": [at, at + 4],
        "text": "gap",
    }
    assert "--> network.arch:3:11" in message["whole"]
    assert ask(desk, "figure") == before


def test_places_count_as_javascript_does() -> None:
    text = "a😀b×c😀"
    units = Units(text)
    assert [units.of(n) for n in range(len(text) + 1)] == [0, 1, 3, 4, 5, 6, 8]
    assert [units.to(units.of(n)) for n in range(len(text) + 1)] == list(range(len(text) + 1))


def test_hover_definition_completion_and_layout() -> None:
    desk = Desk()
    text = shipped()["resnet50"].read_text(encoding="utf-8")
    assert ask(desk, "hover", at=0) == {}
    assert ask(desk, "define", at=0) == {}
    main = ask(desk, "check", text=text, name="resnet50")["main"]
    at = text.index("conv(")
    assert "```arch\nconv(" in ask(desk, "hover", at=at)["text"]
    used = ask(desk, "define", at=text.index("Bottleneck(64)"))
    assert used["file"].endswith("lib/resnet.arch")
    line = ask(desk, "read", file=used["file"])["text"].split("\n")[used["line"] - 1]
    assert line.startswith("block Bottleneck")
    assert ask(desk, "define", at=text.index("lib/"))["line"] == 1
    own = ask(desk, "define", at=text.index("stride_on)"))
    assert own["file"] == main
    # Nothing else is read.
    for file in ("/etc/passwd", main, "", "../x"):
        assert ask(desk, "read", file=file) == {}
    written = text.replace("gap", "ga")
    at = written.index("ga ->") + 2
    items = ask(desk, "complete", text=written, at=at)["items"]
    assert {"gap", "Bottleneck", "classes"} <= {item["text"] for item in items}
    assert ask(desk, "layout", text=text.replace(", 7x7", " ,7x7"))["text"] == text
    assert ask(desk, "layout", text="model {")["text"] == "model {"


def test_what_is_asked_of_an_older_text_is_found() -> None:
    desk = Desk()
    ask(desk, "check", text=MODEL)
    later = MODEL.replace("model Net(", "\nmodel Net(c: int = 8, ")
    assert not ask(desk, "check", text=later)["fresh"]
    at = later.index("c, 3x3") + 1
    assert ask(desk, "define", at=at)["line"] == 2


@pytest.mark.parametrize("text", ["", "\n", "x", "model", '"""', "😀", "model A: x[1] -> y {"])
def test_any_text_is_answered(text: str) -> None:
    desk = Desk()
    found = ask(desk, "check", text=text)
    assert not found["fresh"]
    assert found["messages"]
    for at in range(len(text) + 1):
        ask(desk, "hover", at=at)
        ask(desk, "define", at=at)
        ask(desk, "complete", text=text, at=at)


def test_what_a_link_brings_is_only_shown() -> None:
    desk = Desk()
    bad = "<img src=x onerror=alert(1)>"
    text = f'@deviates("{bad}")\n@cite("{bad}", table="{bad}")\n{MODEL}'
    assert ask(desk, "check", text=text)["fresh"]
    for style in ("blocks", "scale"):
        svg = ask(desk, "figure", style=style)["svg"]
        assert "<img" not in svg
        assert "&lt;img" in svg


WITHOUT_NUMPY = """
import json, sys
sys.modules["numpy"] = None
from cnndsl.editing.desk import Desk
from cnndsl.files import shipped
for name in ("resnet18", "rpn", "retinanet_resnet50_fpn"):
    desk = Desk()
    text = shipped()[name].read_text(encoding="utf-8")
    for question in (
        {"do": "check", "text": text, "name": name}, {"do": "figure"},
        {"do": "figure", "style": "scale"}, {"do": "summary"}, {"do": "torch"},
    ):
        answer = json.loads(desk.ask(json.dumps(question)))
        assert not answer.get("messages") and "fault" not in answer, answer
"""


def test_nothing_of_it_needs_numpy() -> None:
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", WITHOUT_NUMPY], check=True, cwd=root)
