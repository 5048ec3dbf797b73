"""Keys: a segment stands where it tells siblings apart."""

from __future__ import annotations

from tests.language.short import fault, faults, keys, model, names, net, ops, shape

BN = "default conv(norm=bn, act=relu)\n"


def weights(body: str, above: str = "", ports: str = "image[3, H=8, W=8] -> y") -> list[str]:
    """The keys of all weights but norms' and biases."""
    network = net(body, ports, above)
    kinds = ("conv", "dwconv", "deconv", "linear")
    wanted = {".".join(map(str, n.path)) for n in network if n.op.name in kinds}
    return [k for k in keys(network) if k.removesuffix(".weight") in wanted]


def test_a_labelled_step_is_the_label() -> None:
    assert keys(net("y: conv(4, 3x3, bias=false)")) == ["y.weight"]


def test_an_unlabelled_step_is_its_name() -> None:
    assert keys(net("conv(4, 3x3, bias=false)\ny: relu")) == ["conv.weight"]


def test_what_is_fused_makes_a_sequence_of_the_step() -> None:
    found = keys(net("stem: conv(4, 3x3)\ny: relu", above=BN))
    assert found[:2] == ["stem.0.weight", "stem.1.weight"]
    assert "stem.1.running_mean" in found
    assert names(net("stem: conv(4, 3x3)\ny: relu", above=BN))[:3] == [
        *("stem.conv", "stem.norm", "stem.act")
    ]


def test_the_place_is_that_of_the_norm_whatever_the_norm() -> None:
    found = keys(net("y: conv(4, 3x3, norm=gn(2))"))
    assert found == ["y.0.weight", "y.1.weight", "y.1.bias"]


def test_no_block_is_named_in_a_key() -> None:
    above = "block B(c: int) {\n  conv(c, 3x3)\n}"
    assert weights("y: B(4)", above) == ["y.conv.weight"]
    assert weights("B(4)\ny: relu", above) == ["block.conv.weight"]


def test_the_projection_of_a_repeated_bottleneck() -> None:
    above = BN + (
        "block Bottleneck(c: int, s: int = 1) {\n"
        "  add {\n"
        "    conv(c, 1x1) -> conv(c, 3x3, stride=s) -> conv(4 * c, 1x1, act=none)\n"
        "    skip when s == 1 and in.c == 4 * c\n"
        "    else projection: conv(4 * c, 1x1, stride=s, act=none)\n"
        "  } -> relu\n}"
    )
    assert weights("c2: Bottleneck(4, s=2 then 1) * 2\ny: relu", above) == [
        "c2.0.conv1.0.weight",
        "c2.0.conv2.0.weight",
        "c2.0.conv3.0.weight",
        "c2.0.projection.0.weight",
        "c2.1.conv1.0.weight",
        "c2.1.conv2.0.weight",
        "c2.1.conv3.0.weight",
    ]


def test_braces_are_no_modules() -> None:
    assert weights("y: { { conv(4, 3x3) } -> relu }") == ["y.weight"]


def test_what_surrounds_the_one_module_of_a_line_has_no_place() -> None:
    assert weights("y: maxpool(2) -> conv(4, 3x3) -> relu -> dropout(0.1)") == ["y.weight"]


def test_a_chain_is_numbered_with_what_is_between() -> None:
    assert weights("y: relu -> conv(4, 3x3) -> relu -> conv(5, 3x3) -> relu") == [
        *("y.0.weight", "y.2.weight")
    ]


def test_a_repeat_adds_the_number_of_its_turn() -> None:
    assert keys(net("y: conv(4, 3x3, bias=false) * 2")) == ["y.0.weight", "y.1.weight"]


def test_a_repeated_group_numbers_each_of_its_steps() -> None:
    text = "image[3] -> y"
    body = "y: { linear(4, bias=false) -> bn } * 2"
    found = [k for k in keys(net(body, text)) if k.endswith("weight")]
    assert found == ["y.0.0.weight", "y.0.1.weight", "y.1.0.weight", "y.1.1.weight"]


def test_a_labelled_for_adds_its_turn() -> None:
    above = "block B(c: int) {\n  conv(c, 3x3, bias=false)\n}"
    body = "blocks: for | c | n |\n | 4 | 1 |\n | 5 | 2 |\n { B(c) * n }\ny: relu"
    assert keys(net(body, above=above)) == [
        "blocks.0.0.conv.weight",
        "blocks.1.0.conv.weight",
        "blocks.1.1.conv.weight",
    ]


def test_an_indexed_label_is_followed_by_the_turns() -> None:
    step = "image -> deconv(4, 2x2, stride=2, bias=false)"
    body = f"for i in 0..1 {{ for j in 0..2 {{ x[i, j]: {step} }} }}"
    assert keys(net(f"{body}\ny: x[0, 1] -> relu")) == ["x.0.0.weight", "x.0.1.weight"]


def test_the_turns_count_from_0_whatever_the_index() -> None:
    body = "for i in 2..4 { x[i]: image -> conv(3, 1x1, bias=false) }\ny: x[3] -> relu"
    assert keys(net(body)) == ["x.0.weight", "x.1.weight"]


def test_steps_of_one_name_are_numbered_within_their_labelled_line() -> None:
    body = "a: add { conv(4, 3x3); conv(4, 1x1) }\nb: conv(6, 3x3)\ny: relu"
    assert weights(body) == ["a_conv1.weight", "a_conv2.weight", "b.weight"]


def test_a_label_in_a_labelled_line_is_a_module_of_its_own() -> None:
    body = "a: add { left: conv(4, 3x3); right: conv(4, 1x1) }\ny: relu"
    assert weights(body) == ["left.weight", "right.weight"]


def test_steps_of_one_name_are_numbered_within_the_block() -> None:
    body = "conv(4, 3x3, bias=false)\nadd { conv(4, 1x1, bias=false); skip }\ny: relu"
    assert keys(net(body)) == ["conv1.weight", "conv2.weight"]


def test_the_numbers_count_the_text_so_that_when_renames_nothing() -> None:
    body = "conv(4, 3x3, bias=false) when {}\nconv(4, 1x1, bias=false)\ny: relu"
    assert keys(net(body.format("true"))) == ["conv1.weight", "conv2.weight"]
    assert keys(net(body.format("false"))) == ["conv2.weight"]


def test_alternatives_are_one_module() -> None:
    body = "conv(4, 3x3, bias=false) when {}\nelse conv(4, 1x1, bias=false)\ny: relu"
    assert keys(net(body.format("true"))) == keys(net(body.format("false"))) == ["conv.weight"]


def test_two_labels_of_one_name_are_numbered() -> None:
    network = net("{ a: conv(8, 3x3) } -> { a: conv(8, 3x3) }\ny: relu")
    assert keys(network)[::2] == ["a1.weight", "a2.weight"]


def test_inserting_a_labelled_line_renames_nothing_that_has_a_label() -> None:
    before = keys(net("a: conv(4, 3x3)\nb: conv(4, 3x3)\ny: relu"))
    after = keys(net("a: conv(4, 3x3)\nnew: conv(4, 3x3)\nb: conv(4, 3x3)\ny: relu"))
    assert set(before) <= set(after)


def test_a_label_may_be_any_word_and_a_python_keyword_takes_an_underscore_as_a_module() -> None:
    network = net("class: conv(4, 3x3)\nGröße: conv(4, 3x3)\n层: relu\ny: class -> relu")
    assert keys(network)[::2] == ["class_.weight", "Größe.weight"]


def test_a_label_with_two_underscores_is_reserved() -> None:
    assert fault("__class__: relu\ny: relu").code == "E216"


def test_a_number_that_is_a_label_is_passed_over() -> None:
    network = net(
        "conv2: conv(4, 1x1, bias=false)\nconv(4, 3x3, bias=false)\n"
        "conv(4, 3x3, bias=false)\ny: relu"
    )
    assert keys(network) == ["conv2.weight", "conv1.weight", "conv3.weight"]


def test_layers_without_weights_may_share_a_path() -> None:
    network = net("{ a: relu } -> { a: relu }\ny: relu")
    assert names(network) == ["a.relu", "a.relu_2", "y.relu"]


class TestEach:
    """One module, one key, one call a line."""

    above = """
block Head(c: int): x -> (cls, reg) {
  t: x -> conv(c, 3x3)
  cls: t -> conv(2, 1x1)
  reg: t -> conv(4, 1x1)
}
"""
    body = "head: Head(4) each { image; image -> maxpool(2x2) }\ny: head[1].cls -> relu"

    def test_the_weights_are_counted_once(self) -> None:
        assert keys(net(self.body, above=self.above)) == [
            "head.t.weight",
            "head.t.bias",
            "head.cls.weight",
            "head.cls.bias",
            "head.reg.weight",
            "head.reg.bias",
        ]

    def test_each_call_has_its_node(self) -> None:
        network = net(self.body, above=self.above)
        assert "head[0].Head.t.conv" in names(network)
        assert "head[1].Head.t.conv" in names(network)
        shared = [node.name for node in network if node.shared]
        assert [n for n in shared if "conv" in n] == [
            *("head[1].Head.t.conv", "head[1].Head.cls.conv", "head[1].Head.reg.conv")
        ]

    def test_unequal_weights_are_an_error(self) -> None:
        body = "h: conv(8, 3x3) each { image; image -> conv(5, 1x1) }\ny: h[0] -> relu"
        assert fault(body).code == "E405"

    def test_a_family_spreads(self) -> None:
        body = "for i in 0..3 { p[i]: image -> relu }\nh: conv(2, 3x3) each { p[*] }"
        network = net(f"{body}\ny: concat {{ h[*] }}")
        assert shape(network) == (6, 8, 8)
        assert keys(network) == ["h.weight", "h.bias"]

    def test_a_repeated_module_is_a_chain_applied_to_each_line(self) -> None:
        body = "h: conv(3, 3x3, bias=false) * 4 each { image; image -> relu }\ny: h[0] -> relu"
        network = net(body)
        assert keys(network) == [f"h.{i}.weight" for i in range(4)]
        assert ops(network).count("conv") == 8

    def test_each_row_makes_the_first_axis_part_of_the_batch(self) -> None:
        above = (
            "block Box(k: int): roi[C, S, S] -> cls[k] {\n  cls: roi -> flatten -> linear(k)\n}"
        )
        network = net("y: roi -> Box(5) each row", "roi[10, 3, S=7, S] -> y", above)
        assert shape(network) == (10, 5)
        assert keys(network) == ["y.cls.weight", "y.cls.bias"]
        assert {node.rows for node in network if node.op.name == "linear"} == {10}
        assert network.macs == 10 * 3 * 7 * 7 * 5


def test_a_recursive_each_of_unknown_words_is_a_sentence() -> None:
    assert faults(model("y: relu each col"))[0].code == "E108"
