"""An explanation says the numbers, and where they come from."""

import pytest

import cnndsl
from cnndsl.analysis.explain import explain


def test_a_label_is_its_whole_step_with_the_formula_and_the_numbers_in_it() -> None:
    conv, norm, act = explain(cnndsl.load("resnet50"), "c1")
    assert conv.derivation == ("⌊(224 + 3 + 3 − 1·(7 − 1) − 1)/2⌋ + 1 = 112",)
    assert conv.shapes == ((64, 112, 112),)
    assert conv.product == "64·3·7·7 · 112·112"
    assert "118,013,952  = 64·3·7·7 · 112·112 = 9408⌈H/2⌉⌈W/2⌉\n" in str(conv)
    assert conv.macs == "9408⌈H/2⌉⌈W/2⌉"
    assert conv.cost.macs == 118_013_952
    assert (conv.sees, conv.stride, conv.padding) == ("7", "2", "3")
    assert (norm.operation, act.operation) == ("bn", "relu")
    assert conv.feeds == (norm.node,)
    text = str(conv)
    assert "1512.03385" in text
    assert "deviates" in text
    assert "resnet50.arch:" in text


def test_a_default_says_the_line_that_it_comes_from() -> None:
    (conv,) = explain(cnndsl.load("unet"), "d4.DoubleConv.conv")
    origins = {name: origin for name, _, origin in conv.attributes}
    assert origins["out"] == "written here"
    assert origins["pad"].startswith(
        "`default conv(pad=valid, act=relu, init=kaiming_normal)` at "
    )
    assert origins["stride"] == "the default of conv"


def test_an_argument_comes_from_the_default_that_holds_there_and_from_no_other() -> None:
    network = cnndsl.loads("""default conv(bias=true, norm=bn(eps=0.001))
block Other: x -> y { default conv(stride=2)
  y: x -> conv(4, 1x1) }
model M: x[3, H=8, W=8] -> y {
  a: deconv(4, 2x2, stride=2, output_pad=1)
  default conv(groups=1)
  y: a -> conv(4, 3x3, dilation=2)
}
""")
    (deconv,) = explain(network, "a")
    assert {n: o for n, _, o in deconv.attributes}["pad"] == "the default of deconv"
    conv, norm = explain(network, "y")
    said = {name: origin.rpartition(" at ")[0] or origin for name, _, origin in conv.attributes}
    assert said == {
        "out": "written here",
        "kernel": "written here",
        "stride": "the default of conv",
        "pad": "`same`, the default of conv, worked out",
        "dilation": "written here",
        "groups": "`default conv(groups=1)`",
        "bias": "`default conv(bias=true, norm=bn(eps=0.001))`",
        "pad_mode": "the default of conv",
        "init": "the default of conv: PyTorch's own",
        "bias_init": "the default of conv: PyTorch's own",
    }
    (eps, *_) = norm.attributes
    assert eps[2].startswith("`default conv(bias=true, norm=bn(eps=0.001))` at ")


def test_multiply_adds_are_the_weight_times_the_positions_it_is_applied_at() -> None:
    (linear,) = explain(cnndsl.load("faster_rcnn_resnet50_fpn"), "box.BoxHead.fc.linear")
    assert linear.product == "1000 · 1024·12544"
    (up,) = explain(cnndsl.load("unet"), "e3.up")
    assert up.product == "1024·512·2·2 · 28·28"
    (product,) = explain(cnndsl.load("nonlocal_resnet50"), "nl.NonLocal.y.einsum")
    assert (product.product, product.cost.macs > 0) == ("", True)


def test_a_transposed_convolution_has_its_own_formula() -> None:
    (up,) = explain(cnndsl.load("unet"), "e3.up")
    assert up.derivation == ("(28 − 1)·2 − 0 − 0 + 1·(2 − 1) + 1 = 56",)


def test_every_node_of_a_network_can_be_explained() -> None:
    network = cnndsl.load("nonlocal_resnet50")
    for name in list(network.graph)[::9]:
        assert str(explain(network, name))


def test_an_unknown_label_suggests_the_nearest() -> None:
    with pytest.raises(LookupError, match="did you mean `logits`"):
        explain(cnndsl.load("resnet50"), "logit")
