"""A loop variable has the value of its row: in the lines, in inner loops, and outside."""

from cnndsl.network import loads


def test_an_inner_loop_keeps_the_row_of_the_outer_one() -> None:
    network = loads("""
model M: x[3, H=8, W=8] -> out[C, H, W] {
  outer: for c in [8, 16, 32] { inner: for i in 0..2 { conv(c, 1x1) } }
  out: outer[0] -> conv(1, 1x1)
}
""")
    shapes = [network.shapes[f"outer.{n}.inner.1.conv"][0] for n in range(3)]
    assert shapes == [(8, 8, 8), (16, 8, 8), (32, 8, 8)]
    assert network.input_shapes("out.conv") == ((8, 8, 8),)


def test_a_size_that_leaves_a_loop_keeps_its_row() -> None:
    network = loads("""
block B(k: int) {
  y: for c in [8, 16, 32] { z: conv(c * k, 1x1)
                            conv(z.c, 1x1) }
  y[0]
}
model M: x[3, H=8, W=8] -> out { out: B(2) }
""")
    assert network.outputs["out"].shape == (16, 8, 8)


def test_a_default_reads_the_size_of_the_unnamed_input() -> None:
    network = loads("""
block B(m: int = in.c // 4) { conv(m, 1x1) }
model M: x[12, H=8, W=8] -> out { out: B }
""")
    assert network.outputs["out"].shape == (3, 8, 8)


def test_an_indexed_label_keeps_its_row_where_its_block_is_left() -> None:
    network = loads("""
block B: x[3, H, W] -> *y {
  for | i | c  |
      | 0 |  8 |
      | 1 | 16 |
  { for j in 0..2 { y[i, j]: x -> conv(c + j, 1x1) } }
}
model M: x[3, H=8, W=8] -> out { b: B
                                 out: concat { b.y[*] } }
""")
    assert network.input_shapes("out.concat") == (
        (8, 8, 8), (9, 8, 8), (16, 8, 8), (17, 8, 8),
    )  # fmt: skip
