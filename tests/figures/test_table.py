"""The table of a network beside the table of its paper."""

from __future__ import annotations

import pytest

from cnndsl.figures.table import latex, markdown, rows
from cnndsl.files import shipped
from tests.figures.geometry import network

ZOO = sorted(shipped())


def stages(name: str, block: str) -> list[tuple[str, int]]:
    """The output and the repeats of each row of a block."""
    return [
        (row.output, row.count) for row in rows(network(name)) if row.layers[0] == f"{block}:"
    ]


@pytest.mark.parametrize(
    ("name", "block", "table"),
    [
        # He et al. 2016, table 1.
        (
            "resnet18",
            "BasicBlock",
            [("64×56²", 2), ("128×28²", 2), ("256×14²", 2), ("512×7²", 2)],
        ),
        (
            "resnet34",
            "BasicBlock",
            [("64×56²", 3), ("128×28²", 4), ("256×14²", 6), ("512×7²", 3)],
        ),
        (
            "resnet50",
            "Bottleneck",
            [("256×56²", 3), ("512×28²", 4), ("1024×14²", 6), ("2048×7²", 3)],
        ),
        (
            "resnet101",
            "Bottleneck",
            [("256×56²", 3), ("512×28²", 4), ("1024×14²", 23), ("2048×7²", 3)],
        ),
        # Sandler et al. 2018, table 2: the columns c and n, by its sizes of the output.
        (
            "mobilenetv2",
            "InvertedResidual",
            [
                ("16×112²", 1),
                ("24×56²", 2),
                ("32×28²", 3),
                ("64×14²", 4),
                ("96×14²", 3),
                ("160×7²", 3),
                ("320×7²", 1),
            ],
        ),
        # Tan & Le 2019, table 1.
        (
            "efficientnet_b0",
            "MBConv",
            [
                ("16×112²", 1),
                ("24×56²", 2),
                ("40×28²", 2),
                ("80×14²", 3),
                ("112×14²", 3),
                ("192×7²", 4),
                ("320×7²", 1),
            ],
        ),
        # Huang et al. 2017, table 1.
        (
            "densenet121",
            "DenseLayer",
            [("256×56²", 6), ("512×28²", 12), ("1024×14²", 24), ("1024×7²", 16)],
        ),
        # Szegedy et al. 2015, table 1: each module is a row.
        (
            "googlenet",
            "Inception",
            [
                ("256×28²", 1),
                ("480×28²", 1),
                ("512×14²", 1),
                ("512×14²", 1),
                ("512×14²", 1),
                ("528×14²", 1),
                ("832×14²", 1),
                ("832×7²", 1),
                ("1024×7²", 1),
            ],
        ),
        # Radosavovic et al. 2020, RegNetX-400MF: depths 1, 2, 7, 12.
        (
            "regnetx_400mf",
            "RegNetBlock",
            [("32×56²", 1), ("64×28²", 2), ("160×14²", 7), ("400×7²", 12)],
        ),
        # Liu et al. 2022, table 9.
        (
            "convnext_tiny",
            "ConvNeXtBlock",
            [("96×56²", 3), ("192×28²", 3), ("384×14²", 9), ("768×7²", 3)],
        ),
    ],
)
def test_stages_and_repeats_are_the_papers(
    name: str, block: str, table: list[tuple[str, int]]
) -> None:
    assert stages(name, block) == table


def test_a_repeated_sequence_has_its_own_sizes() -> None:
    # Simonyan & Zisserman 2015, table 1, column D.
    found = [
        (r.output, r.count) for r in rows(network("vgg16")) if r.layers[0].startswith("3×3")
    ]
    assert found == [
        ("64×224²", 2),
        ("128×112²", 2),
        ("256×56²", 3),
        ("512×28²", 3),
        ("512×14²", 3),
    ]


def test_inceptions_widths_are_those_of_googlenets_table() -> None:
    row = next(row for row in rows(network("googlenet")) if row.layers[0] == "Inception:")
    assert [layer for layer in row.layers if "," in layer] == [
        "1×1, 64", "1×1, 96", "3×3, 128", "1×1, 16", "5×5, 32", "1×1, 32",
    ]  # fmt: skip


def test_what_the_first_of_a_row_has_otherwise_is_said() -> None:
    row = next(row for row in rows(network("resnet50")) if row.output == "512×28²")
    assert row.layers == (
        "Bottleneck:",
        "1×1, 128",
        "3×3, 128 /2 then 3×3, 128",
        "1×1, 512",
        "1×1, 512 /2 (the first)",
        "+",
        "relu",
    )


@pytest.mark.parametrize("name", ZOO)
def test_a_tables_costs_are_the_networks(name: str) -> None:
    net = network(name)
    found = rows(net)
    cost = net.summary().total
    assert sum(row.parameters for row in found) == cost.parameters
    assert sum(row.macs for row in found) == cost.macs


def test_markdown_and_latex_say_the_total() -> None:
    net = network("resnet50")
    assert markdown(net).splitlines()[-1] == "| total |  |  |  | 25,557,032 | 4,089,184,256 |"
    text = latex(net)
    assert r"total & & & & 25,557,032 & 4,089,184,256 \\" in text
    assert r"\text{3$\times$3, 128 /2 then 3$\times$3, 128}" in text
    assert text.count("{") == text.count("}")
    assert all(line.count(" & ") == 5 for line in text.splitlines() if line.startswith(r"c"))
