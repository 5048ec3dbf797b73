"""Ports, wiring by name, families, several and optional outputs."""

from __future__ import annotations

import pytest

from cnndsl.diagnostics import ArchError
from cnndsl.network import loads
from tests.language.short import fault, faults, keys, model, net, ops, shape

BODY = """
block Body: x -> (c3, c4, c5) {
  c3: x -> conv(4, 3x3)
  c4: conv(8, 3x3, stride=2)
  c5: conv(16, 3x3, stride=2)
}
"""
NECK = """
block Neck: (c4, c3) -> (p3, p4) {
  p3: c3 -> relu
  p4: c4 -> tanh
}
"""


def test_a_block_without_ports_has_one_input_and_its_last_line_is_its_output() -> None:
    network = net("y: B", above="block B {\n  a: conv(in.c + 1, 3x3)\n  relu\n}")
    assert shape(network) == (4, 8, 8)


def test_an_output_port_need_not_be_the_last_line() -> None:
    network = net("y: B", above="block B: x -> a {\n  a: x -> relu\n  b: tanh\n}")
    assert network.outputs["y"].node == "y.B.a.relu"


def test_several_outputs_feed_a_block_by_their_names() -> None:
    network = net("body: image -> Body\nn: body -> Neck\ny: n.p4 -> relu", above=BODY + NECK)
    assert network.operands("n.Neck.p4.tanh") == [("body.Body.c4.conv", 0)]


def test_a_missing_name_is_an_error_and_extra_outputs_are_ignored() -> None:
    above = BODY + "block N: (c4, c6) -> p {\n  p: c4 -> relu\n}"
    assert faults(model("body: image -> Body\ny: body -> N", above=above))[0].code == "E221"


def test_braces_give_the_inputs_in_order() -> None:
    network = net("n: Neck { image; image -> relu }\ny: n.p3 -> relu", above=NECK)
    assert network.operands("n.Neck.p3.relu") == [("n.relu", 0)]
    assert fault("n: Neck { image }\ny: n.p3 -> relu", above=NECK).code == "E205"


def test_as_renames_an_output_so_that_a_block_repeats() -> None:
    above = "block S: (p3, p4) -> (o3 as p3, o4 as p4) {\n  o3: p4 -> relu\n  o4: p3 -> tanh\n}"
    network = net("s: S { image; image } -> S * 2\ny: s.p3 -> silu", above=above)
    assert ops(network) == ["relu", "tanh"] * 3 + ["silu"]


def test_a_port_with_a_star_takes_any_number() -> None:
    above = "block Sum: *p[C, _, _] -> y {\n  y: concat { p[*]; p[0] }\n}"
    network = net("y: Sum { image; image -> relu; image -> tanh }", above=above)
    assert shape(network) == (12, 8, 8)


def test_a_star_port_may_have_others_beside_it() -> None:
    above = "block B: (a, *p, z) -> y {\n  y: concat { z; p[*]; a }\n}"
    network = net("y: B { image; image -> relu; image -> tanh; image -> silu }", above=above)
    order = [u for u, _ in network.operands("y.B.y.concat")]
    assert order == ["y.silu", "y.relu", "y.tanh", "image"]


def test_len_is_the_number_in_a_family() -> None:
    above = (
        "block B: *p -> y {\n  for i in 0..len(p) { u[i]: p[i] -> relu }\n  y: add { u[*] }\n}"
    )
    network = net("y: B { image; image -> tanh }", above=above)
    assert ops(network) == ["tanh", "relu", "relu", "add"]


def test_a_star_output_is_a_family() -> None:
    above = "block B: x -> *u {\n  for i in 0..3 { u[i]: x -> relu }\n}"
    network = net("b: image -> B\ny: add { b[*] }", above=above)
    assert len(network.operands("y.add")) == 3


def test_an_index_of_a_call_is_its_declared_output() -> None:
    network = net("b: image -> Body\ny: b[1] -> relu", above=BODY)
    assert shape(network) == (8, 4, 4)


def test_all_of_a_call_s_outputs_spread_in_a_join() -> None:
    above = "block T: x -> (a, b) {\n  a: x -> relu\n  b: x -> tanh\n}"
    assert shape(net("t: image -> T\ny: concat { t[*] }", above=above)) == (6, 8, 8)


def test_an_optional_output_is_there_when_its_condition_holds() -> None:
    text = (
        "model M(aux: bool = false): image[3, H=8, W=8] -> (y, extra when aux) {\n"
        "  y: image -> relu\n  extra: image -> tanh when aux\n}"
    )
    assert list(loads(text).outputs) == ["y"]
    assert list(loads(text, parameters={"aux": True}).outputs) == ["y", "extra"]


def test_an_output_s_shape_is_a_contract_and_binds_new_names() -> None:
    network = net("y: conv(4, 3x3, stride=2)", "image[3, H=8, W=8] -> y[4, N, W // 2]")
    assert network.dimensions["N"] == 4
    assert fault("y: relu", "image[3, H=8, W=8] -> y[4, H, W]").code == "E402"


def test_a_new_size_starts_upper_case_so_that_a_typo_is_found() -> None:
    ports = "M(classes: int = 5): image[3, 8, 8] -> y[clases]"
    found = faults(f"model {ports} {{\n  y: gap -> linear(classes)\n}}")[0]
    assert (found.code, found.help) == ("E202", "did you mean `classes`?")


def test_one_name_in_two_ports_is_one_size() -> None:
    above = "block B: (a[C, H, W], b[C, H, W]) -> y {\n  y: add { a; b }\n}"
    assert faults(model("y: B { image; conv(4, 1x1) }", above=above))[0].code == "E402"


def test_any_number_of_spatial_axes() -> None:
    above = "block B: x[C, *S] -> y[C, *S] {\n  y: x -> conv(C, 3)\n}"
    for ports in ("x[3, 8] -> y", "x[3, 8, 8] -> y", "x[3, 8, 8, 8] -> y"):
        network = net("y: B", ports, above)
        assert shape(network) == network.inputs["x"].shape


def test_a_size_named_twice_in_a_port_is_one_size() -> None:
    above = "block B: x[C, S, S] -> y {\n  y: x -> relu\n}"
    assert ops(net("y: B", above=above)) == ["relu"]
    assert faults(model("maxpool(1x2)\ny: B", above=above))[0].code == "E402"


def test_the_inputs_are_given_another_shape() -> None:
    text = model("y: conv(4, 3x3)")
    assert shape(loads(text, inputs={"image": (3, 32, 20)})) == (4, 32, 20)


def test_a_wrong_number_of_channels_is_refused() -> None:
    with pytest.raises(ArchError) as caught:
        loads(model("y: relu"), inputs={"image": (4, 8, 8)})
    assert caught.value.diagnostics[0].code == "E402"


def test_outputs_are_seen_by_name_through_a_label() -> None:
    network = net("b: image -> Body\ny: b.c4 -> relu", above=BODY)
    assert network.operands("y.relu") == [("b.Body.c4.conv", 0)]


def test_what_is_labelled_inside_a_call_is_seen_too() -> None:
    above = "block B: x -> y {\n  inner: x -> { deep: relu; tanh }\n  y: silu\n}"
    network = net("b: image -> B\ny: b.inner.deep -> relu", above=above)
    assert network.operands("y.relu") == [("b.B.inner.deep.relu", 0)]


def test_add_of_a_tensor_with_itself_has_two_operands() -> None:
    network = net("y: add { image; image }")
    assert network.operands("y.add") == [("image", 0), ("image", 0)]
    assert network.graph.number_of_edges("image", "y.add") == 2


def test_each_output_of_a_split_is_an_edge_of_its_own() -> None:
    network = net("a, b, c: split(3)\ny: concat { c; a }")
    assert network.operands("y.concat") == [("a.split", 2), ("a.split", 0)]


def test_several_labels_are_for_operations_without_weights() -> None:
    assert fault("a, b: conv(4, 1x1) -> split(2)\ny: a -> relu").code == "E215"


def test_keys_of_two_calls_of_a_block_differ() -> None:
    above = "block B(c: int) {\n  conv(c, 3x3, bias=false)\n}"
    assert keys(net("B(4)\nB(5)\ny: relu", above=above)) == [
        "block1.conv.weight",
        "block2.conv.weight",
    ]
