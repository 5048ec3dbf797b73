"""The seventeen rules of meaning: a claim each, and what follows from it."""

from __future__ import annotations

import pytest

from cnndsl.graph import Wires
from cnndsl.network import loads
from tests.language.short import attribute, fault, faults, keys, model, names, net, ops, shape


class TestRule1:
    """A label names the whole line."""

    def test_a_label_is_the_last_step_s_output(self) -> None:
        network = net("a: conv(4, 3x3) -> relu\nb: conv(5, 3x3)\ny: a -> sigmoid")
        assert network.operands("y.sigmoid") == [("a.relu", 0)]

    def test_a_label_that_defines_a_port_bears_its_name(self) -> None:
        assert list(net("y: relu").outputs) == ["y"]


class TestRule2:
    """`in` is the only unnamed input; a named port is called by its name."""

    above = (
        "block B(c: int) {\n  a: conv(c, 3x3)\n  { relu; add { in -> conv(c, 1x1); skip } }\n}"
    )

    def test_in_is_the_block_s_input_everywhere_in_it(self) -> None:
        network = net("y: B(4)", above=self.above)
        assert network.operands("y.B.conv") == [("image", 0)]

    def test_in_does_not_name_a_named_port(self) -> None:
        assert fault("y: in -> relu").code == "E202"


class TestIt:
    """`it` is what enters a step, in its arguments alone; another `it` is that."""

    def test_it_is_what_enters_the_step_of_the_argument(self) -> None:
        network = net("y: conv(2 * it.c, 3x3) -> conv(it.c - 1, 1x1) * 2")
        assert shape(network) == (4, 8, 8)

    def test_it_is_no_name_elsewhere(self) -> None:
        for body in ("let a = it.c\ny: relu", "y: relu when it.c == 3", "y: it -> relu"):
            assert fault(body).code == "E202"
        assert (
            fault("y: add { relu; tanh } -> concat(it.c) { skip; conv(it, 1x1) }").code
            == "E204"
        )

    def test_a_label_may_be_called_it(self) -> None:
        assert shape(net("it: conv(5, 1x1)\ny: image -> conv(it.c, 1x1)"), "y") == (5, 8, 8)


class TestRule3:
    """`skip` is the value that enters the nearest call's braces."""

    def test_skip_is_what_enters_the_braces(self) -> None:
        network = net("a: conv(3, 3x3)\ny: add { conv(3, 3x3); skip }")
        assert network.operands("y.add") == [("y.conv", 0), ("a.conv", 0)]

    def test_skip_inside_nested_braces_is_the_nearer_call_s(self) -> None:
        network = net("y: add { relu -> add { sigmoid; skip }; skip }")
        assert network.operands("y.add")[1] == ("y.relu", 0)
        assert network.operands("y.add_2")[1] == ("image", 0)

    def test_skip_in_bare_braces_is_the_enclosing_call_s(self) -> None:
        network = net("y: add { { relu\nadd { skip; image } }; skip }")
        assert ops(network) == ["relu", "add", "add"]

    def test_skip_where_no_value_enters_is_an_error(self) -> None:
        text = model(
            "y: P { image; image }", above="block P: (a, b) -> y {\n  y: add { skip; a }\n}"
        )
        assert faults(text)[0].code == "E213"

    def test_skip_alone_is_the_identity(self) -> None:
        assert ops(net("skip\ny: relu")) == ["relu"]


class TestRule4:
    """In a join each line starts from `skip`; in bare braces it continues the one above."""

    def test_join_lines_start_from_skip(self) -> None:
        network = net("y: concat { relu; sigmoid }")
        assert network.operands("y.relu") == network.operands("y.sigmoid") == [("image", 0)]

    def test_lines_in_bare_braces_continue(self) -> None:
        network = net("y: { relu; sigmoid }")
        assert network.operands("y.sigmoid") == [("y.relu", 0)]


class TestRule5:
    """A line removed by `when` is the identity in a sequence and absent in a join."""

    def test_in_a_sequence_it_is_the_identity(self) -> None:
        assert ops(net("relu when false\ny: sigmoid")) == ["sigmoid"]

    def test_in_a_join_it_is_absent(self) -> None:
        network = net("y: concat { relu; skip; sigmoid when false }")
        assert shape(network) == (6, 8, 8)

    def test_a_join_left_with_one_line_is_that_line(self) -> None:
        assert ops(net("y: add { relu; skip when H == 7 }")) == ["relu"]

    def test_a_join_left_with_no_line_is_an_error(self) -> None:
        assert fault("y: add { relu when false; skip when H == 7 }").code == "E222"


class TestRule6:
    """Using a label whose line is off is an error that names the condition."""

    def test_the_condition_is_named(self) -> None:
        found = fault("a: relu when H == 7\ny: a -> sigmoid")
        assert found.code == "E206"
        assert "`when H == 7`" in found.message
        assert found.related[0][0].text == "H == 7"

    def test_an_off_label_may_be_given_again(self) -> None:
        network = net("a: relu when false\nelse a: sigmoid\ny: a -> tanh")
        assert names(network) == ["a.sigmoid", "y.tanh"]

    def test_an_output_that_is_off_must_be_optional(self) -> None:
        assert (
            fault("y: image -> relu\nz: image -> relu when false", "image[3] -> (y, z)").code
            == "E206"
        )


class TestRule7:
    """A line without a source continues the line above, which must be certain."""

    def test_after_a_conditional_line_with_a_source_it_is_an_error_on_or_off(self) -> None:
        for condition in ("true", "false"):
            assert fault(f"a: image -> relu when {condition}\ny: sigmoid").code == "E210"

    def test_after_a_conditional_line_without_a_source_it_continues(self) -> None:
        assert ops(net("relu when true\ny: sigmoid")) == ["relu", "sigmoid"]

    def test_after_a_for_whose_lines_name_sources_it_is_an_error(self) -> None:
        assert fault("for i in 0..2 { a[i]: image -> relu }\ny: sigmoid").code == "E210"

    def test_with_the_source_written_it_is_none(self) -> None:
        assert ops(net("a: image -> relu when false\ny: image -> sigmoid")) == ["sigmoid"]

    def test_the_end_of_a_block_must_be_certain_too(self) -> None:
        above = "block B {\n  relu\n  in -> sigmoid when false\n}"
        assert faults(model("y: B", above=above))[0].code == "E210"


class TestRule8:
    """`* 0` is the identity; `0..n` excludes n."""

    def test_zero_repeats_are_the_identity(self) -> None:
        assert ops(net("conv(4, 3x3) * 0\ny: relu")) == ["relu"]

    def test_a_range_excludes_its_end(self) -> None:
        assert ops(net("for i in 1..3 { relu }\ny: sigmoid")) == ["relu", "relu", "sigmoid"]

    def test_an_empty_range_is_the_identity(self) -> None:
        assert ops(net("for i in 0..0 { relu }\ny: sigmoid")) == ["sigmoid"]


class TestRule9:
    """`for` threads the value in a sequence, and contributes every line in a join."""

    def test_in_a_sequence_it_threads(self) -> None:
        network = net("x: for | c | k |\n | 4 | 3 |\n | 5 | 1 |\n { conv(c, k) }\ny: relu")
        assert network.operands("x.1.conv") == [("x.0.conv", 0)]
        assert shape(network) == (5, 8, 8)

    def test_in_a_join_every_iteration_contributes(self) -> None:
        network = net(
            "y: concat { skip; for r in [1, 2, 4] { maxpool(r) -> resize(image.size) } }"
        )
        assert shape(network) == (12, 8, 8)
        assert all(
            network.operands(n)[0] == ("image", 0) for n in names(network) if "pool" in n
        )


class TestRule10:
    """Labels in a `for`."""

    def test_an_unindexed_label_is_local_to_its_iteration(self) -> None:
        network = net("x: for i in 0..2 { a: relu; add { a; sigmoid } }\ny: tanh")
        assert names(network)[:3] == ["x.0.a.relu", "x.0.sigmoid", "x.0.add"]
        assert fault("x: for i in 0..2 { a: relu }\ny: a -> relu").code == "E202"

    def test_an_indexed_label_belongs_to_the_braces_around(self) -> None:
        network = net("for i in 0..2 { x[i]: image -> conv(4, 3x3) }\ny: add { x[0]; x[1] }")
        assert keys(network)[0] == "x.0.weight"

    def test_the_label_of_a_for_is_the_family_of_results(self) -> None:
        network = net("x: for i in 0..3 { relu }\ny: add { x[0]; x[2] }")
        assert network.operands("y.add") == [("x.0.relu", 0), ("x.2.relu", 0)]

    def test_the_line_after_continues_from_the_last(self) -> None:
        assert net("x: for i in 0..3 { relu }\ny: tanh").operands("y.tanh") == [("x.2.relu", 0)]

    def test_a_for_that_holds_weights_must_be_labelled(self) -> None:
        assert fault("for i in 0..2 { conv(3, 3x3) }\ny: relu").code == "E212"

    def test_two_indices_make_one_family(self) -> None:
        body = "for i in 0..2 { for j in 0..2 { x[i, j]: image -> conv(4, 1x1) } }"
        network = net(f"{body}\ny: concat {{ x[*] }}")
        assert shape(network) == (16, 8, 8)
        assert keys(network)[2] == "x.0.1.weight"


class TestRule11:
    """Labels are visible to the end of their braces, and outside as `outer.inner`."""

    def test_a_label_is_not_visible_after_its_braces(self) -> None:
        assert fault("x: { a: relu; sigmoid }\ny: a -> relu").code == "E202"

    def test_it_is_outside_as_outer_inner(self) -> None:
        network = net("x: { a: relu; sigmoid }\ny: x.a -> tanh")
        assert network.operands("y.tanh") == [("x.a.relu", 0)]

    def test_the_labels_in_a_block_are_seen_through_its_call(self) -> None:
        above = "block B {\n  a: relu\n  b: sigmoid\n}"
        network = net("x: B\ny: add { x.a; x.b }", above=above)
        assert network.operands("y.add") == [("x.B.a.relu", 0), ("x.B.b.sigmoid", 0)]

    def test_the_labels_in_a_join_are_seen_through_it(self) -> None:
        network = net("x: add { a: relu; skip }\ny: x.a -> tanh")
        assert network.operands("y.tanh") == [("x.a.relu", 0)]


class TestRule12:
    """One name space; shadowing is an error; a label wins over an operation, with a warning."""

    def test_every_kind_shares_the_name_space(self) -> None:
        block = "block B(c: int) {\n  relu\n}"
        for body in ("H: relu", "image: relu", "B: relu", "let H = 3", "let B = 3"):
            found = faults(model(f"{body}\ny: relu", above=block))
            assert [f.code for f in found] == ["E201"], body

    def test_a_loop_variable_may_not_shadow(self) -> None:
        assert fault("let i = 3\nx: for i in 0..2 { relu }\ny: relu").code == "E201"

    def test_inner_braces_may_not_shadow(self) -> None:
        assert fault("a: relu\nx: { a: sigmoid }\ny: relu").code == "E201"

    def test_a_name_is_suggested(self) -> None:
        assert "`a_2`" in fault("a: relu\na: relu\ny: relu").help

    def test_a_label_wins_over_an_operation_with_a_warning(self) -> None:
        network = net("relu: conv(4, 3x3)\ny: relu -> sigmoid")
        assert ops(network) == ["conv", "sigmoid"]
        assert [w.code for w in network.warnings] == ["W201"]


class TestRule13:
    """Defaults are lexical, and never reach through a call."""

    def test_they_apply_where_the_step_is_written(self) -> None:
        network = net("y: conv(4, 3x3)", above="default conv(norm=bn, act=relu)")
        assert ops(network) == ["conv", "bn", "relu"]

    def test_an_argument_wins_over_the_default(self) -> None:
        network = net("y: conv(4, 3x3, act=none)", above="default conv(norm=bn, act=relu)")
        assert ops(network) == ["conv", "bn"]

    def test_the_inner_scope_wins_over_the_file_s(self) -> None:
        above = "default conv(act=relu)"
        network = net(
            "x: { default conv(act=sigmoid)\nconv(4, 3x3) }\ny: conv(4, 3x3)", above=above
        )
        assert ops(network) == ["conv", "sigmoid", "conv", "relu"]

    def test_they_never_reach_through_a_call(self) -> None:
        above = "block B {\n  conv(4, 3x3)\n}"
        assert ops(net("default conv(act=relu)\ny: B", above=above)) == ["conv"]

    def test_norm_takes_the_default_of_the_norm(self) -> None:
        above = "default bn(eps=1e-3)\ndefault conv(norm=bn)"
        assert attribute(net("y: conv(4, 3x3)", above=above), "y.norm", "eps") == 1e-3

    def test_a_default_may_name_a_block(self) -> None:
        above = "default B(c=5)\nblock B(c: int = 4) {\n  conv(c, 3x3)\n}"
        assert shape(net("y: B", above=above)) == (5, 8, 8)


class TestRule14:
    """`then` belongs to the nearest enclosing `*`, never to a `for`."""

    def test_the_first_repeat_gets_one_value_and_the_rest_another(self) -> None:
        network = net("y: conv(4, 3x3, stride=2 then 1) * 3")
        assert [attribute(network, n, "stride")[0] for n in names(network)] == [2, 1, 1]

    def test_the_nearest_repeat_decides(self) -> None:
        network = net("y: { conv(4, 3x3, stride=2 then 1) * 2 } * 2")
        assert [attribute(network, n, "stride")[0] for n in names(network)] == [2, 1, 2, 1]

    def test_a_for_inside_the_repeat_does_not_count(self) -> None:
        body = "y: { { for i in 0..2 { maxpool(1x1, stride=2 then 1) } } } * 2"
        network = net(body)
        assert [attribute(network, n, "stride")[0] for n in names(network)] == [2, 2, 1, 1]

    def test_without_a_repeat_it_is_an_error(self) -> None:
        assert fault("y: for i in 0..2 { maxpool(1x1, stride=2 then 1) }").code == "E307"

    def test_it_does_not_reach_through_a_call(self) -> None:
        text = model("y: B * 2", above="block B {\n  maxpool(1x1, stride=2 then 1)\n}")
        assert faults(text)[0].code == "E307"


class TestRule15:
    """`else` belongs to the line directly above, which must have `when`."""

    def test_else_is_on_where_the_line_above_is_off(self) -> None:
        assert ops(net("relu when false\nelse sigmoid\ny: tanh")) == ["sigmoid", "tanh"]
        assert ops(net("relu when true\nelse sigmoid\ny: tanh")) == ["relu", "tanh"]

    def test_a_chain_takes_the_first_that_holds(self) -> None:
        body = "relu when H == 7\nelse sigmoid when H == 8\nelse silu\ny: tanh"
        assert ops(net(body)) == ["sigmoid", "tanh"]

    def test_else_without_when_is_an_error(self) -> None:
        assert fault("relu\nelse sigmoid\ny: tanh").code == "E218"

    def test_else_after_else_is_an_error(self) -> None:
        assert fault("relu when true\nelse sigmoid\nelse silu\ny: tanh").code == "E218"


class TestRule16:
    """A step that yields several tensors."""

    above = (
        "block Two(c: int): x -> (a, b) {\n  a: x -> conv(c, 3x3)\n  b: x -> conv(c, 1x1)\n}\n"
        "block Swap: (b, a) -> y {\n  y: add { a; b -> relu }\n}"
    )

    def test_it_feeds_a_following_call_by_name(self) -> None:
        network = net("y: Two(4) -> Swap", above=self.above)
        assert network.operands("y.Swap.y.relu") == [("y.Two.b.conv", 0)]

    def test_it_contributes_each_in_order_to_a_join(self) -> None:
        network = net("y: concat { Two(4) }", above=self.above)
        assert network.operands("y.concat") == [("y.Two.a.conv", 0), ("y.Two.b.conv", 0)]

    def test_anywhere_else_it_must_be_labelled(self) -> None:
        assert fault("y: Two(4) -> relu", above=self.above).code == "E205"

    def test_several_labels_take_the_outputs_in_order(self) -> None:
        network = net("a, b: split([1, 2])\ny: b -> relu")
        assert shape(network) == (2, 8, 8)

    def test_each_yields_a_family_for_each_output(self) -> None:
        body = "h: Two(4) each { image; image -> relu }\ny: concat { h[*].a; h[0].b }"
        assert shape(net(body, above=self.above)) == (12, 8, 8)


class TestRule17:
    """Ports bind first, then parameter defaults in order, then contracts are checked."""

    def test_a_default_may_use_a_port_s_size(self) -> None:
        lines = "y: x -> conv(m, 1x1) -> conv(C, 1x1)"
        above = f"block B(m: int = C // 2): x[C, H, W] -> y[C, H, W] {{\n  {lines}\n}}"
        network = net("a: conv(8, 3x3)\ny: B", above=above)
        assert shape(network, "y.B.y.conv") == (4, 8, 8)

    def test_a_default_may_use_the_parameter_before_it(self) -> None:
        above = "block B(a: int, b: int = 2 * a) {\n  conv(b, 3x3)\n}"
        assert shape(net("y: B(3)", above=above)) == (6, 8, 8)
        above = "block B(b: int = 2 * a, a: int = 1) {\n  conv(b, 3x3)\n}"
        assert faults(model("y: B", above=above))[0].code == "E202"

    def test_a_contract_may_use_a_parameter(self) -> None:
        above = "block B(c: int): x[2 * c, H, W] -> y {\n  y: x -> relu\n}"
        assert shape(net("a: conv(8, 3x3)\ny: B(4)", above=above)) == (8, 8, 8)
        assert faults(model("a: conv(8, 3x3)\ny: B(3)", above=above))[0].code == "E402"


def test_a_model_s_parameter_is_its_own_default_or_the_value_set() -> None:
    text = "model M(c: int = 4): image[3, H=8, W=8] -> y[c, H, W] {\n  y: conv(c, 3x3)\n}"
    assert shape(loads(text)) == (4, 8, 8)
    assert shape(loads(text, parameters={"c": 6})) == (6, 8, 8)
    assert shape(loads(text, parameters={"c": "3 + 4"})) == (7, 8, 8)


def test_what_a_port_stands_for_is_no_step() -> None:
    for name in ("input(3)", "unbatch(3)", "rebatch(3)"):
        assert fault(f"y: {name}").code == "E202"
    assert net("input: relu\ny: input -> tanh").warnings == ()


def test_what_another_setting_reads_is_read() -> None:
    text = """
model M(aux: bool = false): image[3, H=8, W=8] -> (y, more when aux) {
  f: image -> conv(4, 1x1)
  more: f -> relu when aux
  y: image -> conv(2, 1x1)
}"""
    assert not loads(text).warnings
    assert not loads(text, parameters={"aux": True}).warnings


def test_a_line_is_read_where_any_call_of_its_block_reads_it() -> None:
    text = """
block B: x -> (a, b) { a: x -> conv(3, 1x1)
  b: x -> conv(3, 1x1) }
model M: image[3, H=8, W=8] -> y { one: B
  two: one.a -> B
  y: add { two.a; two.b } }"""
    assert not loads(text).warnings


OUTPUTS = """
block P: x -> (p, q) { p: x -> conv(3, 1x1)
  q: x -> conv(3, 1x1) }
block Q: x -> (p, r) { p: x -> conv(3, 1x1)
  r: p -> conv(3, 1x1) }
block R: (p, q) -> y { y: add { p; q } }
model M(more: bool = false): image[3, H=8, W=8] -> y { a: P
  b: image -> Q
  c: a -> R when more
  y: add { a.p; b.p } }"""


def test_an_output_that_no_call_of_its_block_reads_is_named() -> None:
    assert [w.message for w in loads(OUTPUTS).warnings] == [
        "nothing reads the output `r` of `Q`"
    ]
    assert not loads(OUTPUTS.replace("a.p; b.p", "a.p; b.r")).warnings


def test_a_line_is_unread_in_braces_and_loops_too() -> None:
    text = """
model M: image[3, H=8, W=8] -> y {
  s: for i in 0..2 { lost[i]: conv(4, 1x1)
    image -> conv(3, 1x1) }
  z: { gone: image -> relu
    image -> conv(3, 1x1) }
  y: add { s[1]; z }
}"""
    assert [w.message for w in loads(text).warnings] == [
        "nothing reads `lost`",
        "nothing reads `gone`",
    ]


def test_a_family_enters_an_operation_whose_inputs_have_names() -> None:
    text = """
model M: image[N=6, 8] -> y {{
  qkv: linear(8) each {{ image; image; image }}
  y: attention(2) {{ {} }}
}}
"""
    whole, apart = (loads(text.format(x)) for x in ("qkv[*]", "qkv[0]; qkv[1]; qkv[2]"))
    assert whole.graph.edges == apart.graph.edges
    assert [node.op for node in whole] == [node.op for node in apart]


def test_each_layer_without_a_label_is_named_in_a_few_steps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = 0
    contains = Wires.__contains__

    def counted(self: Wires, name: object) -> bool:
        nonlocal asked
        asked += 1
        return contains(self, name)

    monkeypatch.setattr(Wires, "__contains__", counted)
    lines = "\n".join(["conv(2, 1x1)"] * 500)
    loads(f"model M: image[2, H=2, W=2] -> y {{\n{lines}\ny: relu }}")
    assert asked < 10 * 500
