"""What is run once a region costs so many times as much, and no more."""

import pytest

import cnndsl
from cnndsl.analysis.closed import closed_forms
from cnndsl.analysis.rois import affine

TEXT = """
block Head(): x[C, H, W] -> y[2] { y: x -> flatten -> linear(8, act=relu) -> linear(2) }
model Detector: (image[3, H=32, W=32], regions[N=10, 4, 7, 7]) -> (map, scores) {
  map: image -> conv(4, 3x3)
  scores: regions -> Head each row
}
"""


def detector(rois: int) -> cnndsl.Network:
    return cnndsl.loads(TEXT, inputs={"regions": (rois, 4, 7, 7)})


def test_a_detectors_cost_is_affine_in_its_regions() -> None:
    found = affine(detector, "rois")
    assert found.each == {"rois": 4 * 7 * 7 * 8 + 8 * 2}
    assert found.fixed == 32 * 32 * 4 * 27
    assert found.at(rois=1000) == detector(1000).macs
    assert str(found) == "110592 + 1584·rois"


def test_the_closed_form_has_the_number_of_regions() -> None:
    forms = closed_forms(detector(10))
    assert str(forms.macs) == "108H·W + 1584N"
    assert forms.at(N=300)["macs"] == detector(300).macs


def test_what_is_not_affine_is_refused() -> None:
    def square(size: int) -> cnndsl.Network:
        return cnndsl.loads(
            "model M: x[1, H=8, W=8] -> y { y: conv(1, 1x1) }",
            inputs={"x": (1, size, size)},
        )

    with pytest.raises(ValueError, match="not affine"):
        affine(square, "size")


def test_faster_rcnn_is_a_body_and_so_much_a_region() -> None:
    def make(proposals: int) -> cnndsl.Network:
        return cnndsl.load("faster_rcnn_resnet50_fpn", proposals=proposals)

    found = affine(make, "proposals")
    assert found.each == {"proposals": 14_359_552}
    assert found.at(proposals=1000) == 134_379_721_216
    assert found.fixed == 120_020_169_216
