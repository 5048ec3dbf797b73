"""`@expect`: claims held to the digits they are printed with, budgets, and settings."""

import pytest

from cnndsl.analysis.expect import check
from cnndsl.diagnostics import Diagnostic
from cnndsl.language.modules import Loader

# conv: 4·3·9 + 4 = 112 parameters, 64·4·27 = 6,912 multiply-adds.
BODY = """
model M(c: int = 4, aux: bool = false): x[3, H=8, W=8] -> (y[c, H, W], side when aux) {
  stem: conv(c, 3x3)
  body: stem -> maxpool(2x2) * 2
  side: stem -> gap when aux
  y: stem
}
"""


def faults(expect: str, body: str = BODY) -> tuple[Diagnostic, ...]:
    scope = Loader().text(f"{expect}\n{body}", "m.arch")
    (definition,) = scope.models.values()
    found = check(definition).diagnostics
    # A claim about a label that nothing reads is what some of these are for.
    return tuple(one for one in found if one.code != "W202")


@pytest.mark.parametrize(
    "claim",
    [
        "params=112",
        "parameters=112",
        "buffers=0",
        "macs=6_912",
        "macs=6.9K",
        "macs=6.91K",
        "macs=7K",
        "macs=6.9e3",
        "macs=0.0069M",
        "macs<=6912",
        "macs<=7K",
        "macs>=6912",
        "params <= 112, params >= 112",
        "H=8, W=8",
        "y=[4, 8, 8]",
        "stem=[4, 8, 8]",
        "stem=4x8x8",
        "body[0]=[4, 4, 4], body[1]=[4, 2, 2], body=[4, 2, 2]",
        "c=8, params=224",
        "aux=true, side=[4]",
        "H=16, macs=13_824, y=[4, 16, 8]",
        "c=8, H=16, W=16, y=[8, 16, 16]",
        "params=100 + 12",
    ],
)
def test_a_true_claim_is_silent(claim: str) -> None:
    assert faults(f"@expect({claim})") == ()


@pytest.mark.parametrize(
    ("claim", "code", "said"),
    [
        ("params=113", "E501", "`params` is 112, but 113 was expected"),
        ("macs=6.92K", "E501", "`macs` is 6,912, but 6.92K was expected"),
        ("macs=6K", "E501", "`macs` is 6,912, but 6K was expected"),
        ("macs<=6911", "E501", "`macs` is 6,912, but at most 6911 was expected"),
        ("macs>=6913", "E501", "`macs` is 6,912, but at least 6913 was expected"),
        ("stem=[4, 8, 9]", "E501", "`stem` is [4, 8, 8], but [4, 8, 9] was expected"),
        ("stem=4", "E501", "`stem` is [4, 8, 8], but 4 was expected"),
        ("params=true", "E501", "`params` is 112, but true was expected"),
        ("side=[4]", "E502", "unknown figure, size, output or label `side`"),
        ("parms=1", "E502", "unknown figure, size, output or label `parms`"),
        ("112", "E502", "`112` is not a claim"),
        ("1 <= params", "E502", "`1 <= params` is not a claim"),
        ("params != 3", "E502", "`params != 3` is not a claim"),
    ],
)
def test_a_false_claim_says_what_is_measured(claim: str, code: str, said: str) -> None:
    (fault,) = faults(f"@expect({claim})")
    assert (fault.code, fault.message) == (code, said)
    assert fault.span is not None
    assert fault.span.line == 1


def test_a_misspelt_claim_is_told_the_nearest() -> None:
    (fault,) = faults("@expect(parms=1)")
    assert fault.help == "did you mean `params`?"


def test_a_broken_budget_names_the_largest_contributors() -> None:
    (fault,) = faults("@expect(macs <= 1K)")
    assert fault.help == "the largest: stem.conv 6,912 (100.0 %)"


def test_a_rounded_figure_says_what_would_do() -> None:
    (fault,) = faults("@expect(macs=6K)")
    assert fault.note == "measured 6,912, 912 more; 5,500 to 6,500 would do"


def test_a_fault_under_settings_names_them() -> None:
    (fault,) = faults("@expect(c=8, H=16, params=1)")
    assert fault.stack == ("with c=8, H=16",)


def test_each_expect_has_settings_of_its_own_and_the_defaults_are_elaborated_too() -> None:
    expect = "@expect(c=8, params=1)\n@expect(params=2)\n@expect(c=8, params=224)"
    assert [f.message for f in faults(expect)] == [
        "`params` is 224, but 1 was expected",
        "`params` is 112, but 2 was expected",
    ]


def test_a_setting_that_breaks_the_network_is_reported_once() -> None:
    (fault,) = faults("@expect(c=0, params=1)\n@expect(c=0, macs=1)")
    assert fault.stack[0] == "with c=0"


def test_a_model_whose_parameter_has_no_default_is_checked_under_its_expect() -> None:
    body = "model M(c: int): x[3, H=8, W=8] -> y { y: conv(c, 3x3) }"
    assert faults("@expect(c=4, params=112)", body) == ()
    (fault,) = faults("", body)
    assert fault.code == "E302"


def test_labels_inside_a_block_are_seen_through_the_label_of_its_line() -> None:
    body = """
block B: x -> y {
  part: x -> conv(5, 1x1)
  y: part -> gap
}
model M: x[3, H=8, W=8] -> out {
  stage: B
  many: for c in [2, 3] { inner: conv(c, 1x1) }
  pair[0]: stage.part
  out: pair[0]
}
"""
    claims = (
        "stage=[5], stage.part=[5, 8, 8], stage.y=[5], "
        "many[0]=[2], many[1].inner=[3], pair[0]=[5, 8, 8]"
    )
    body = body.replace("{ inner: conv(c, 1x1) }", "{ inner: linear(c) }")
    assert faults(f"@expect({claims})", body) == ()


def test_a_size_that_is_not_a_number_is_refused() -> None:
    (fault,) = faults("@expect(H=[8], params=112)")
    assert fault.code == "E502"
