"""Words that have no room in their place: where else they stand, and how they are cut."""

from __future__ import annotations

import re

import pytest

from cnndsl.figures import font
from cnndsl.figures.blocks import arranged, drawn
from cnndsl.figures.caption import about, broken
from cnndsl.figures.conditions import spelled
from cnndsl.figures.layout.labels import fitted, shorter, spread
from cnndsl.figures.layout.picture import picture
from cnndsl.figures.paint import Area, Group, Part, Path, Text, leaves
from cnndsl.figures.scale.page import scaled
from cnndsl.figures.tex import escaped
from cnndsl.figures.text import label_text
from cnndsl.figures.titles import column
from cnndsl.network import loads
from cnndsl.ops.words import spoken
from tests.figures.geometry import beside, network, paged, shown
from tests.ops.cases import CASES, made

CUT = re.compile(r"\S…|…\S")


def labelled(*others: Part, whole: str = "stage1[0–3]", labels: tuple[str, ...] = ()) -> Text:
    """The label of a box of 70 pixels that is entered from above, beside other parts."""
    box = Area(100, 50, 70, 24, "conv")
    parts: list[Part] = [Path(((135, 0), (135, 50))), *others]
    known = {len(parts): whole}
    parts.append(Group((box, Text(102, 47, "sta…3]", 8, "faint"))))
    for label in labels:
        known[len(parts)] = label
        parts.append(Group((Area(100, 500, 60, 24, "conv"), Text(102, 497, label, 8, "faint"))))
    spread(parts, known, 300)
    made = parts[1 + len(others)]
    assert isinstance(made, Group)
    text = made.children[-1]
    assert isinstance(text, Text)
    return text


def test_a_label_moves_aside_where_nothing_stands() -> None:
    text = labelled()
    assert text.text == "stage1[0–3]"
    assert text.x < 100
    assert text.x + font.width(text.text, 8) < 135


def test_a_label_that_has_no_room_goes_without_an_index_that_no_other_needs() -> None:
    wall = Path(((98, 0), (98, 100)))
    assert labelled(wall, labels=("stage2[0–3]",)).text == "stage1"
    wall = Path(((90, 0), (90, 100)))
    assert labelled(wall, labels=("stage1[4]",)).text.endswith("…[0–3]")
    assert list(shorter("a[3][0–1]", ("a[2][0–1]",)))[:2] == ["a[3][0–1]", "a[3]"]
    assert list(shorter("conf[0–5], loc[0–5]", ()))[1] == "conf, loc"
    assert list(shorter("a[0].b[0]", ("a[1].b[0]",)))[1:3] == ["a[0].b", "a[0]"]
    assert "a[0]" not in shorter("a[0].b", ("a[0].c",))


def test_a_label_stands_over_no_other_box() -> None:
    # It would be taken for the name of that box.
    beside = Group((Area(60, 52, 38, 24, "conv"),), kind="node")
    assert labelled(beside).text == "stage1"


def test_two_labels_that_are_cut_are_told_apart() -> None:
    parts: list[Part] = [Path(((x, 0), (x, 500))) for x in (98, 126)]
    for y in (50, 150):
        label = Text(102, y - 3, "th…e", 8, "faint")
        parts.append(Group((Area(100, y, 60, 24, "conv"), label)))
    spread(parts, {2: "the_first_one", 3: "the_other_one"}, 300)
    first, second = (part.text for part in leaves(parts) if isinstance(part, Text))
    assert CUT.search(first)
    assert CUT.search(second)
    assert first != second


def test_a_label_is_cut_before_its_index() -> None:
    assert fitted("stage1[0–3]", 8, 36) == "st…[0–3]"
    assert font.width(fitted("a_long_name_of_a_line", 8, 40), 8) <= 40


def test_labels_that_differ_in_one_index_say_how_far_it_runs() -> None:
    assert label_text(["a[4][0]", "a[5][0]", "a[6][0]"]) == "a[4–6][0]"
    assert label_text(["a[4][0]", "a[4][1]", "a[5][0]"]) == "a[4][0] … [5][0]"
    assert label_text(["a[0]", "b[0]"]) == "a[0] … b[0]"


def test_a_name_that_is_too_long_is_broken_where_a_part_begins() -> None:
    assert font.lines("MobileNetV3Body /2", 10, 70, bold=True) == ["MobileNetV3", "Body /2"]
    assert font.lines("Body", 10, 70) == ["Body"]


def test_the_names_on_a_rail_are_shortened() -> None:
    pages = shown("ssd300_vgg16"), paged("ssd300_vgg16")
    said = {rail.words for found in pages for rail in found.main.piece.rails}
    assert said == {"conv4_3 … conv11_2"}


def test_a_caption_has_no_marks_of_code() -> None:
    head = '@deviates("with `k` times as many")\nmodel M: x[1] -> y { y: relu }\n'
    assert about(loads(head))[-1] == "Differs from the paper: with k times as many."


def test_a_caption_is_not_broken_between_a_number_and_its_unit() -> None:
    for name in ("conv_kinds", "efficientnet_b0", "yolov2", "faster_rcnn_resnet50_fpn"):
        for room in range(120, 400, 7):
            lines = about(network(name), room, ["bn: eps 0.001, momentum 0.03"])
            for line in lines:
                assert not re.search(r"( ·|section|figure|table|eps|momentum)$", line), line
                assert not re.match(r"(parameters|multiply|·)", line), line
    assert font.lines(f"ten{font.BOUND}to one", 9, 12) == ["ten", "to", "one"]
    assert font.lines(f"one ten{font.BOUND}to", 9, 35) == ["one", "ten to"]


def test_a_caption_keeps_what_belongs_together_in_one_line() -> None:
    words = "arXiv:1505.04597, figure 1 · 31M parameters · 150G multiply-adds"
    assert broken([words], 200) == [
        "arXiv:1505.04597, figure 1",
        "31M parameters · 150G multiply-adds",
    ]


@pytest.mark.parametrize("name", ["googlenet", "unet", "hrnet_w18", "deeplabv3_resnet50"])
def test_a_name_stands_where_the_layout_leaves_room(name: str) -> None:
    """Beside the picture's parts, and not in an opened block or on the edge of a lane."""
    found = paged(name)
    made = picture(found)
    (title,) = (part for part in made.parts if isinstance(part, Text) and part.bold)
    assert title.y < found.height
    for part in leaves(made.parts):
        if isinstance(part, Area) and part.role in ("band", "frame"):
            inside = part.y <= title.y - title.size and title.y <= part.y + part.height
            wide = title.x + font.width(title.text, title.size, bold=True)
            beside = title.x >= part.x + part.width or wide <= part.x
            within = part.role == "band" and part.x <= title.x and wide <= part.x + part.width
            clear = title.y - title.size >= part.y + part.height or title.y <= part.y
            assert beside or clear or (within and inside)


def test_a_name_without_room_in_the_picture_stands_at_the_foot() -> None:
    found = paged("efficientdet_d0")
    (title,) = (p for p in picture(found).parts if isinstance(p, Text) and p.bold)
    assert title.y > found.height


@pytest.mark.parametrize(
    "name", ["cbam_resnet50", "googlenet", "densenet121", "dpn68", "pspnet_resnet50", "dcgan"]
)
def test_words_keep_off_slanted_sides(name: str) -> None:
    for page in (shown(name), paged(name)):
        for far, text in beside(drawn(network(name), page)):
            assert far >= 2, text


@pytest.mark.parametrize(
    ("detail", "opened", "said"),
    [
        ("blocks", (), "block, opened in its frame"),
        ("stages", (), "block"),
        ("stages", ("MBConv",), "block"),
    ],
)
def test_a_legend_says_that_blocks_are_opened_where_all_are(
    detail: str, opened: tuple[str, ...], said: str
) -> None:
    found = network("efficientnetv2_s")
    made = drawn(found, arranged(found, detail=detail, opened=opened))
    words = [part.text for part in leaves(made.parts) if isinstance(part, Text)]
    assert [word for word in words if word.startswith("block")] == [said]


def test_the_font_and_tex_have_every_sign_that_is_said() -> None:
    said = {str(made(name, given, *shapes).said()) for name, given, shapes in CASES}
    said |= {spelled("a == b != c <= d >= e * f - g // h"), "2, 1 … 3–4 ×2 /2 ↑2 ↓2"}
    for name in ("unet", "efficientdet_d0", "yolov4", "vit_tiny", "wavenet"):
        pictures = drawn(network(name), shown(name)), scaled(network(name))
        said |= {p.text for one in pictures for p in leaves(one.parts) if isinstance(p, Text)}
    signs = sorted({*"".join(said)})
    assert "≠" in signs
    for sign in signs:
        assert font.knows(sign), sign
        assert escaped(sign) != "?" or sign == "?", sign
    plain, bold = (font._advances(bold)[0].keys() for bold in (False, True))
    assert plain == bold


def test_a_negative_number_has_a_true_minus() -> None:
    assert [spoken(value) for value in (-1, -0.5, (-1, 2), 1e-05)] == [
        "−1",
        "−0.5",
        "−1×2",
        "1e-5",
    ]
    assert column([-4.6, 0.0, 0.5]) == ("−4.6–0.5", "")
