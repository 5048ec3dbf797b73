"""The command line: every command, exit statuses, and no traceback whatever comes in."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

import cnndsl
from cnndsl.analysis.weights import random_weights
from cnndsl.cli import cli
from cnndsl.files import find, replacing, shipped

GOOD = """
@expect(params=112)
model Good(c: int = 4): x[3, H=8, W=8] -> y { y: conv(c, 3x3) }
"""
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(cnndsl.__file__).parents[1])}
BAD = "model Bad: x[3, H=8, W=8] -> y { y: conv(4, 3x3, groups=2) }\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Each test runs in an empty folder, and sees its own files alone."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.arch").write_text(GOOD)
    (tmp_path / "bad.arch").write_text(BAD)
    return tmp_path


def run(*arguments: str, stdin: str | bytes | None = None) -> Result:
    result = CliRunner().invoke(cli, arguments, input=stdin, prog_name="cnndsl")
    assert "Traceback" not in result.output
    assert "internal error" not in result.output
    if result.exit_code:
        assert result.stderr.strip()
    return result


def process(
    *arguments: str, env: dict[str, str], encoding: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cnndsl", *arguments],
        env={**ENVIRONMENT, **env},
        encoding=encoding,
        capture_output=True,
        check=False,
        timeout=120,
    )


# check


def test_check_says_ok_with_the_figures() -> None:
    result = run("check", "good.arch")
    assert result.exit_code == 0
    assert result.stdout.startswith(
        "ok good.arch: Good, 112 parameters, 0.00000691 GMACs; 1 claim"
    )


def test_check_reports_a_fault_with_its_place_and_status_1() -> None:
    result = run("check", "bad.arch")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("error[E401]: groups=2 does not divide 3 input channels")
    assert "--> bad.arch:1:50" in result.stderr


def test_check_goes_through_all_files_and_the_worst_status_wins() -> None:
    result = run("check", "bad.arch", "good.arch", "none.arch", "lenet5")
    assert result.exit_code == 2
    assert "ok good.arch" in result.stdout
    assert "LeNet5" in result.stdout
    assert "E401" in result.stderr
    assert "none.arch: no such file" in result.stderr


def test_check_holds_every_model_of_a_file_against_its_claims() -> None:
    Path("two.arch").write_text(GOOD + GOOD.replace("Good", "Other").replace("112", "113"))
    result = run("check", "two.arch")
    assert result.exit_code == 1
    assert "Good" in result.stdout
    assert "`params` is 112, but 113 was expected" in result.stderr


def test_check_reads_standard_input() -> None:
    assert run("check", "-", stdin=GOOD).exit_code == 0
    assert run("check", "-", stdin=BAD).exit_code == 1


def test_check_says_so_where_a_file_has_blocks_alone_or_nothing() -> None:
    Path("blocks.arch").write_text("block B(c: int) { conv(c, 3x3) }\n")
    assert run("check", "blocks.arch").stdout == "ok blocks.arch: 1 block, no model\n"
    Path("empty.arch").write_text("\n# nothing\n")
    assert run("check", "empty.arch").exit_code == 1


def test_a_warning_is_printed_and_is_no_fault() -> None:
    Path("w.arch").write_text(GOOD.replace("y:", "gap: conv(3, 1x1)\n  y:"))
    result = run("check", "w.arch")
    assert "warning[W201]" in result.stderr
    assert run("summary", "w.arch").exit_code == 0


# compile


def test_compile_writes_a_file_beside_you_named_as_the_network() -> None:
    result = run("compile", "mobilenetv2.arch")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == "mobilenetv2.py: 3,504,872 parameters, 0.301 GMACs\n"
    compile(Path("mobilenetv2.py").read_text(), "mobilenetv2.py", "exec")


def test_compile_writes_what_the_library_executes() -> None:
    result = run("compile", "good.arch", "-o", "-", "--set", "c=7")
    assert result.stdout == cnndsl.load("good.arch", c=7).torch_source()


def test_compile_names_the_model_where_a_file_holds_several() -> None:
    Path("two.arch").write_text(GOOD + GOOD.replace("Good", "Other"))
    assert run("compile", "two.arch", "--model", "Other").exit_code == 0
    assert "class Other" in Path("other.py").read_text()
    assert run("compile", "-", stdin=GOOD).exit_code == 0
    assert Path("good.py").is_file()


def test_compile_does_not_import_torch() -> None:
    code = (
        "import sys\n"
        "from cnndsl.cli import cli\n"
        "try: cli(['compile', 'resnet50', '-o', 'x.py'])\n"
        "except SystemExit: pass\n"
        "assert 'torch' not in sys.modules and 'rich' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=ENVIRONMENT, timeout=120)


def test_a_faulty_file_writes_nothing() -> None:
    Path("bad.py").write_text("old")
    assert run("compile", "bad.arch").exit_code == 1
    assert Path("bad.py").read_text() == "old"
    assert sorted(p.name for p in Path().iterdir()) == ["bad.arch", "bad.py", "good.arch"]


@pytest.mark.parametrize("command", ["compile", "draw"])
@pytest.mark.parametrize("where", ["none/x.svg", "good.arch/x.svg", "."])
def test_an_output_that_cannot_be_written_is_a_sentence_and_status_2(
    command: str, where: str
) -> None:
    result = run(command, "good.arch", "-o", where)
    assert result.exit_code == 2
    assert result.stderr.count("\n") <= 3
    assert sorted(p.name for p in Path().iterdir()) == ["bad.arch", "good.arch"]


# summary


def test_summary_prints_text_and_data() -> None:
    text = run("summary", "good.arch").stdout
    assert text == f"{cnndsl.load('good.arch').summary()}\n"
    data = json.loads(run("summary", "good.arch", "--json").stdout)
    assert data == cnndsl.load("good.arch").summary().data()


def test_set_and_input_change_the_network() -> None:
    arguments = ("--set", "c=7", "--input", "x=3x10x12", "--json")
    data = json.loads(run("summary", "good.arch", *arguments).stdout)
    assert data["inputs"] == {"x": [3, 10, 12]}
    assert data["outputs"] == {"y": [7, 10, 12]}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--set", "d=1"], "`Good` has no parameter `d`; there are `c`"),
        (["--set", "c"], "`c` is not name=value"),
        (["--set", "=1"], "`=1` is not name=value"),
        (["--set", "c=1", "--set", "c=2"], "`c` is given twice"),
        (["--set", "c=abc"], "abc"),
        (["--set", "c=1 +"], "--set c:1"),
        (["--set", "c='"], "--set c:1"),
        (["--set", "c=1.5"], "`c` is 1.5, but must be an integer"),
        (["--set", "c=-1"], "-1"),
        (["--set", "c=" + "(" * 5000], "200"),
        (["--input", "y=3x8x8"], "`Good` has no input `y`; there are `x`"),
        (["--input", "x=3x8"], "the ranks differ"),
        (["--input", "x=3x0x8"], "[3, 0, 8]"),
        (["--input", "x=3x-1x8"], "cannot read the shape"),
        (["--input", "x=³x8x8"], "cannot read the shape"),
        (["--input", "x=3x99999999999x8"], "cannot read the shape"),
        (["--input", "x=4x8x8"], "[4, 8, 8]"),
        (["--model", "Goood"], "good.arch has no model `Goood`; did you mean `Good`?"),
        (["--depth", "0"], "0"),
        (["--nope"], "--nope"),
    ],
)
def test_a_bad_setting_of_a_sound_file_is_status_2(arguments: list[str], said: str) -> None:
    result = run("summary", "good.arch", *arguments)
    assert result.exit_code == 2
    assert said in result.stderr


# run


def test_run_says_that_the_weights_are_random_and_from_which_seed() -> None:
    np.save("x.npy", np.ones((2, 3, 8, 8), np.float32))
    result = run("run", "good.arch", "--input", "x=x.npy", "--seed", "5", "-o", "out.npz")
    assert result.exit_code == 0, result.stderr
    assert "random (seed 5)" in result.stderr
    with np.load("out.npz") as outputs:
        assert {name: outputs[name].shape for name in outputs} == {"y": (2, 4, 8, 8)}
    assert "y [2, 4, 8, 8]" in run("run", "good.arch", "--input", "x=x.npy").stdout


def test_run_takes_its_shapes_from_the_array_and_adds_the_batch() -> None:
    np.save("x.npy", np.ones((3, 5, 9)))
    result = run("run", "good.arch", "--input", "x=x.npy")
    assert result.stdout.startswith("y [1, 4, 5, 9]")


def test_run_gives_the_same_on_both_backends() -> None:
    pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    np.save("x.npy", rng.normal(size=(2, 3, 8, 8)))
    for backend in ("numpy", "torch"):
        arguments = ("--input", "x=x.npy", "--backend", backend, "-o", f"{backend}.npz")
        assert run("run", "good.arch", *arguments).exit_code == 0
    with np.load("numpy.npz") as ours, np.load("torch.npz") as theirs:
        assert ours["y"].dtype == theirs["y"].dtype == np.float64
        assert np.abs(ours["y"] - theirs["y"]).max() < 1e-9


def test_run_verifies_the_plan_where_there_is_one() -> None:
    np.save("x.npy", np.ones((3, 8, 8), np.float32))
    result = run("run", "good.arch", "--input", "x=x.npy", "--verify")
    assert result.exit_code == 0, result.stderr
    assert "verified: the plan is what the operations define" in result.stderr
    for other in (["--no-optimize"], ["--backend", "torch"]):
        result = run("run", "good.arch", "--input", "x=x.npy", "--verify", *other)
        assert result.exit_code == 2
        assert "--verify checks NumPy's plan, and this run makes none" in result.stderr


def test_run_reads_the_weights_it_is_given() -> None:
    network = cnndsl.load("good.arch")
    weights = {"y.weight": np.zeros((4, 3, 3, 3), np.float32)}
    weights["y.bias"] = np.arange(4, dtype=np.float32)
    np.savez("w.npz", **weights)
    np.save("x.npy", np.ones((1, 3, 8, 8), np.float32))
    result = run("run", "good.arch", "--input", "x=x.npy", "--weights", "w.npz", "-o", "o.npz")
    assert result.exit_code == 0, result.stderr
    assert "random" not in result.stderr
    with np.load("o.npz") as outputs:
        assert np.array_equal(outputs["y"], network.to_numpy(weights)(np.load("x.npy")))
        assert outputs["y"][0, :, 0, 0].tolist() == [0, 1, 2, 3]


def test_run_prepares_a_photo_as_torchvision_does_and_says_so() -> None:
    image = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (300, 200, 3), dtype=np.uint8)
    image.fromarray(pixels).save("photo.png")
    Path("same.arch").write_text("model M: x[3, H=224, W=224] -> y { y: x }\n")
    arguments = ("--input", "x=photo.png", "--seed", "0", "-o", "o.npz")
    result = run("run", "same.arch", *arguments)
    assert result.exit_code == 0, result.stderr
    assert "resized to 256×384, centre cropped to 224×224" in result.stderr
    assert "ImageNet's mean (0.485, 0.456, 0.406)" in result.stderr
    resized = image.fromarray(pixels).resize((256, 384), image.Resampling.BILINEAR)
    crop = np.asarray(resized, np.float64)[80:304, 16:240] / 255
    wanted = (crop - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    with np.load("o.npz") as outputs:
        assert np.abs(outputs["y"][0].transpose(1, 2, 0) - wanted).max() < 1e-5


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("none.npy", None),
        ("none.png", None),
        ("junk.npy", b"junk"),
        ("empty.npy", b""),
        ("junk.png", b"\x89PNG\r\n\x1a\njunk"),
        ("junk.jpg", b""),
        ("junk.txt", b"hello"),
        (".", None),
    ],
)
def test_an_input_that_cannot_be_read_is_status_2(path: str, content: bytes | None) -> None:
    if content is not None:
        Path(path).write_bytes(content)
    result = run("run", "good.arch", "--input", f"x={path}")
    assert result.exit_code == 2
    assert path in result.stderr


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((3, 8, 8), np.uint8),
        np.zeros((8, 8)),
        np.zeros((1, 1, 3, 8, 8)),
        np.zeros((1, 4, 8, 8)),
        np.array([{}]),
        np.array("text"),
    ],
    ids=["integers", "rank 2", "rank 5", "four channels", "objects", "text"],
)
def test_an_array_that_does_not_fit_is_status_2(array: np.ndarray) -> None:
    np.save("x.npy", array, allow_pickle=True)
    assert run("run", "good.arch", "--input", "x=x.npy").exit_code == 2


@pytest.mark.parametrize(
    "path", ["none.npz", "none.safetensors", "junk.npz", "junk.safetensors", "."]
)
def test_weights_that_cannot_be_read_are_status_2(path: str) -> None:
    if path.startswith("junk"):
        Path(path).write_bytes(b"junk")
    np.save("x.npy", np.ones((1, 3, 8, 8), np.float32))
    result = run("run", "good.arch", "--input", "x=x.npy", "--weights", path)
    assert result.exit_code == 2, result.output


def test_a_map_says_which_weights_are_which() -> None:
    Path("two.arch").write_text("""model M: x[3, H=8, W=8] -> y {
  y: concat { left: conv(4, 3x3)
    right: conv(4, 3x3) }
}""")
    np.save("x.npy", np.ones((1, 3, 8, 8), np.float32))
    shapes = {"weight": (4, 3, 3, 3), "bias": 4}
    values = {
        f"{n}.{role}": np.full(s, v) for n, v in ("a1", "b2") for role, s in shapes.items()
    }
    np.savez("w.npz", **{k: v.astype(np.float32) for k, v in values.items()})
    command = ["run", "two.arch", "--input", "x=x.npy", "--weights", "w.npz"]
    refused = run(*command)
    assert refused.exit_code == 2
    assert "`--map FILE`" in refused.stderr
    said = []
    for name, text in (
        ("map.txt", "# which is which\na -> left\nb -> right  # and so on\n"),
        ("map.json", '{"a": "left", "b": "right"}'),
    ):
        Path(name).write_text(text)
        result = run(*command, "--map", name)
        assert result.exit_code == 0, result.output
        said.append(result.stdout)
    assert said[0] == said[1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a = b", "line 1 of the map"),
        ("a ->", "line 1 of the map"),
        ("{", "is not JSON"),
        ('{"a": 3}', "a name for a name"),
        ("a -> b\na -> c", "stands twice"),
        ("\udcff", "is not a text"),
        (None, "cannot be read"),
    ],
)
def test_a_map_that_cannot_be_read_is_status_2(text: str | None, said: str) -> None:
    if text is not None:
        Path("map").write_text(text, errors="surrogateescape")
    np.save("x.npy", np.ones((1, 3, 8, 8), np.float32))
    result = run("run", "good.arch", "--input", "x=x.npy", "--weights", "w.npz", "--map", "map")
    assert result.exit_code == 2
    assert said in result.stderr


def test_run_says_what_it_left_and_what_order_decided() -> None:
    Path("three.arch").write_text(
        "model M: x[3] -> y { y: linear(3) -> linear(3) -> linear(5) }"
    )
    np.save("x.npy", np.ones((1, 3), np.float32))
    sizes = {"a": 3, "b": 3, "head": 4}
    arrays = {f"{n}.weight": np.ones((s, 3), np.float32) for n, s in sizes.items()}
    arrays |= {f"{n}.bias": np.ones(s, np.float32) for n, s in sizes.items()}
    order = [f"{n}.{role}" for n in sizes for role in ("weight", "bias")]
    np.savez("w.npz", **{name: arrays[name] for name in order})
    command = ["run", "three.arch", "--input", "x=x.npy", "--weights", "w.npz"]
    assert run(*command).exit_code == 2
    result = run(*command, "--partial")
    assert result.exit_code == 0, result.output
    assert "told apart by their place alone:\n  a -> " in result.stderr
    assert "not used:\n  head.weight\n  head.bias" in result.stderr
    assert run("run", "good.arch", "--input", "x=x.npy", "--partial").exit_code == 2


# draw, list, completion


def test_draw_writes_a_picture_by_the_ending() -> None:
    assert run("draw", "good.arch", "-o", "x.dot").exit_code == 0
    assert "digraph Good {" in Path("x.dot").read_text()
    assert run("draw", "good.arch", "-o", "x.xyz").exit_code == 2


def test_list_shows_every_shipped_network_with_citation_and_costs() -> None:
    data = json.loads(run("list", "--json").stdout)
    assert [row["name"] for row in data] == list(shipped())
    found = {row["name"]: row for row in data}["mobilenetv2"]
    assert found["parameters"] == 3_504_872
    assert found["macs"] == 300_774_272
    assert found["citation"] == "arXiv:1801.04381, table 2"
    text = run("list").stdout
    assert re.search(r"^mobilenetv2 +3,504,872 +0\.301  arXiv:1801.04381, table 2$", text, re.M)
    assert re.search(r"^inception_claims Direct5x5 +153,632 +0\.120  arXiv", text, re.M)
    assert len(text.splitlines()) == len(data) + 1


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_the_shells_script(shell: str) -> None:
    assert "_CNNDSL_COMPLETE" in run("completion", shell).stdout


def test_completion_knows_commands_networks_and_files() -> None:
    from click.shell_completion import BashComplete

    complete = BashComplete(cli, {}, "cnndsl", "_CNNDSL_COMPLETE")
    assert {item.value for item in complete.get_completions([], "c")} == {
        *("check", "compile", "completion", "counts"),
    }
    items = complete.get_completions(["compile"], "mobilenetv2")
    assert [(item.value, item.type) for item in items] == [
        ("mobilenetv2", "plain"),
        ("mobilenetv2", "file"),
    ]


def test_every_command_explains_itself() -> None:
    for name, command in cli.commands.items():
        text = run(name, "--help").stdout
        assert command.help
        for parameter in command.params:
            if isinstance(parameter, click.Option) and parameter.name != "help":
                assert parameter.opts[-1] in text


def test_the_version_is_the_packages() -> None:
    assert run("--version").stdout.strip().endswith(cnndsl.__version__)


# Names, streams and whatever else comes in


def test_a_file_here_comes_before_a_shipped_one_and_a_folder_does_not() -> None:
    Path("resnet50").mkdir()
    assert find("resnet50") == shipped()["resnet50"]
    assert find("resnet50.arch") == shipped()["resnet50"]
    Path("resnet50.arch").write_text(GOOD)
    assert find("resnet50.arch") == Path("resnet50.arch")


def test_an_unknown_name_is_told_the_nearest() -> None:
    result = run("summary", "mobilnetv2")
    assert result.exit_code == 2
    assert "did you mean `mobilenetv2`?" in result.stderr
    with pytest.raises(FileNotFoundError, match="mobilenetv2"):
        cnndsl.load("mobilnetv2")


HOSTILE = {
    "empty": b"",
    "zeros": b"\0" * 1000,
    "binary": bytes(range(256)) * 10,
    "not utf-8": b"model M: \xff",
    "a bom alone": b"\xef\xbb\xbf",
    "utf-16": "model M: x[3] -> y { y: x }".encode("utf-16"),
    "braces": b"model M: x[3, 8, 8] -> y {" + b"{" * 5000 + b"}" * 5000 + b"}",
    "parentheses": b"let a = " + b"(" * 5000 + b"1" + b")" * 5000,
    "minuses": b"let a = " + b"-" * 5000 + b"1",
    "sum": b"let a = " + b"+".join([b"1"] * 5000),
    "powers": b"let a = 9 ** 9 ** 9 ** 9",
    "a long line": b"# " + b"x" * 1_000_000,
    "a long number": b"let a = " + b"9" * 100_000,
    "a long name": b"let " + b"a" * 100_000 + b" = 1",
    "keywords": b"model block use let for in each when",
    "class": b"model M: __class__[3, 8, 8] -> y { y: __class__ }",
    "python keywords": b"model M: x[3, 8, 8] -> lambda { def: conv(3, 1x1)\n lambda: def }",
    "unicode labels": "model M: x[3, 8, 8] -> 出力 { 出力: conv(3, 1x1) }".encode(),
    "itself": b"block B: x -> y { y: x -> B }\nmodel M: x[3, 8, 8] -> y { y: x -> B }",
    "a huge repeat": b"model M: x[3, 8, 8] -> y { y: relu * 1000000000 }",
    "a huge range": b"model M: x[3, 8, 8] -> y { y: for i in 0..1000000000 { relu } }",
    "a huge size": b"model M: x[3, 8, 8] -> y { y: conv(10 ** 30, 1x1) }",
    "division by zero": b"model M: x[3, 8, 8] -> y { y: conv(3 // 0, 1x1) }",
    "a negative size": b"model M: x[3, 8, 8] -> y { y: conv(0 - 3, 1x1) }",
    "a kernel too large": b"model M: x[3, 8, 8] -> y { y: conv(3, 99x99, pad=0) }",
    "a lone surrogate": b"model M: x[3] -> y { \xed\xa0\x80 }",
    "crlf and tabs": b"model M: x[3, 8, 8] -> y {\r\n\ty: conv(3, 2x2)\r\n}\r\n",
    "control characters": b"model M: x[3, 8, 8] -> y { y: \x1b[31m }",
    "expect of nonsense": b"@expect(1 <= 2, x=[, =)\nmodel M: x[3, 8, 8] -> y { y: x }",
    "expect divides by zero": b"@expect(params=1 // 0)\nmodel M: x[3, 8, 8] -> y { y: x }",
    "expect of an unknown": b"@expect(params=no)\nmodel M: x[3, 8, 8] -> y { y: x }",
    "expect of a size": b"@expect(H=0, params=0)\nmodel M: x[3, H=8, 8] -> y { y: x }",
    "expect of a long figure": b"@expect(params=1e999)\nmodel M: x[3, 8, 8] -> y { y: x }",
    "cite of nothing": b"@cite()\nmodel M: x[3, 8, 8] -> y { y: x }",
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("command", ["check", "summary", "compile"])
def test_no_text_whatever_shows_a_traceback(command: str, name: str) -> None:
    Path("hostile.arch").write_bytes(HOSTILE[name])
    result = run(command, "hostile.arch")
    assert result.exit_code in (0, 1)
    assert result.exit_code == 0 or "error[E" in result.stderr
    assert "\x1b" not in result.output


def test_a_file_of_ten_megabytes_is_refused_in_a_moment() -> None:
    Path("big.arch").write_text("# a comment\n" * 900_000)
    assert run("check", "big.arch").exit_code == 1


def test_a_colour_is_shown_in_a_terminal_alone_and_never_under_no_color(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    colour = CliRunner().invoke(cli, ["check", "bad.arch"], color=True)
    assert "\x1b[31m" in colour.output
    monkeypatch.setenv("NO_COLOR", "1")
    plain = CliRunner().invoke(cli, ["check", "bad.arch"], color=True)
    assert "\x1b" not in plain.output
    assert click.unstyle(colour.output) == plain.output


def test_a_reader_that_leaves_is_no_trouble() -> None:
    command = f"{sys.executable} -m cnndsl summary densenet121 --json | head -c 10"
    done = subprocess.run(
        ["bash", "-c", command], env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.stderr == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_full_disk_is_a_sentence() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "cnndsl", "summary", "lenet5"],
            env=ENVIRONMENT,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 2
    assert done.stderr == "error: no space left on device\n"


def test_an_interrupt_is_quiet() -> None:
    os.mkfifo("pipe.arch")
    started = subprocess.Popen(
        [sys.executable, "-m", "cnndsl", "check", "pipe.arch"],
        env=ENVIRONMENT,
        stderr=subprocess.PIPE,
        text=True,
    )
    with Path("pipe.arch").open("wb"):  # opened when the program opens it to read
        started.send_signal(signal.SIGINT)
    # The pipe is closed now, so the program ends even where the signal came before its read.
    _, said = started.communicate(timeout=60)
    assert started.returncode == 130
    assert "Traceback" not in said


def test_a_terminal_that_has_no_unicode_gets_question_marks() -> None:
    done = process("summary", "lenet5", env={"PYTHONIOENCODING": "latin-1"}, encoding="latin-1")
    assert done.returncode == 0
    assert "???" in done.stdout
    assert "conv 5×5, 6 · valid + tanh" in done.stdout


def test_a_mistake_of_the_program_is_said_in_a_sentence_with_its_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CNNDSL_TRACEBACK", raising=False)
    monkeypatch.setattr("cnndsl.network.Network.summary", lambda self: 1 // 0)
    result = CliRunner().invoke(cli, ["summary", "good.arch"])
    assert result.exit_code == 70
    assert "internal error: ZeroDivisionError" in result.stderr
    assert "test_cli.py" in result.stderr


def test_a_file_is_replaced_whole_or_not_at_all() -> None:
    Path("kept").write_text("old")
    Path("kept").chmod(0o640)

    def fail() -> None:
        with replacing("kept") as part:
            part.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert Path("kept").read_text() == "old"
    with replacing("kept") as part:
        part.write_text("new")
    assert Path("kept").read_text() == "new"
    assert Path("kept").stat().st_mode & 0o777 == 0o640
    assert {p.name for p in Path().iterdir()} == {"kept", "good.arch", "bad.arch"}


def test_a_link_is_followed_and_a_device_is_not_replaced() -> None:
    Path("link").symlink_to("target")
    with replacing("link") as part:
        part.write_text("new")
    assert Path("link").is_symlink()
    assert Path("target").read_text() == "new"
    with replacing(os.devnull) as part:
        part.write_text("gone")
    assert not Path(os.devnull).is_file()


# What is read is not written over

USING = 'use "used.arch" (B)\nmodel M: image[3, H=8, W=8] -> y { y: B }\n'


@pytest.mark.parametrize(
    "path", ["m.arch", "used.arch", "./m.arch", "link.py", "hard.py", "folder/../used.arch"]
)
@pytest.mark.parametrize("command", ["compile", "keys"])
def test_no_output_goes_over_the_source_or_what_it_uses(command: str, path: str) -> None:
    Path("folder").mkdir()
    Path("m.arch").write_text(USING)
    Path("used.arch").write_text("block B { conv(4, 3x3, norm=bn) }\n")
    Path("link.py").symlink_to("used.arch")
    Path("hard.py").hardlink_to("m.arch")
    result = run(command, "m.arch", "-o", path)
    assert result.exit_code == 2
    assert "choose another output" in result.stderr
    assert Path("m.arch").read_text() == USING
    assert run(command, "m.arch", "-o", "new.py").exit_code == 0
    assert run(command, "m.arch", "-o", "new.py").exit_code == 0


def test_a_program_on_standard_input_is_not_written_over() -> None:
    with Path("good.arch").open("rb") as file:
        done = subprocess.run(
            [sys.executable, "-m", "cnndsl", "compile", "-", "-o", "good.arch"],
            env=ENVIRONMENT,
            stdin=file,
            capture_output=True,
            check=False,
        )
    assert done.returncode == 2
    assert Path("good.arch").read_text() == GOOD


NET = """
import torch
from part import WIDTH

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, WIDTH, 3)

    def forward(self, x):
        return self.conv(x)
"""
ON_ARRAY = ("run", "good.arch", "--input", "x=x.npy")
WEIGHED = (*ON_ARRAY, "--weights", "w.npz")
IMPORTED = ("import", "net.py:Net", "--input", "3x8x8")


@pytest.mark.parametrize(
    ("words", "path"),
    [
        (ON_ARRAY, "./x.npy"),
        (WEIGHED, "folder/../w.npz"),
        (WEIGHED, "link.npz"),
        ((*WEIGHED, "--map", "map.txt"), "map.txt"),
        (("run", "good.arch", "--input", "x=photo.png"), "hard.png"),
        (("compile", "good.arch", "--weights", "w.npz"), "hard.onnx"),
        (("draw", "good.arch"), "good.svg"),
        (("diff", "good.arch", "good.arch"), "good.svg"),
        (("memory", "good.arch"), "good.svg"),
        (("roofline", "good.arch", "--device", "10T,100G"), "good.svg"),
        (IMPORTED, "net.py"),
        (IMPORTED, "hard.arch"),
        (IMPORTED, "part.py"),
        (("import", "net.onnx"), "net.onnx"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_no_output_goes_over_what_is_read(
    words: tuple[str, ...], path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "part", raising=False)
    weights = random_weights(cnndsl.load("good.arch"), 0)
    np.savez("w.npz", **weights)
    np.save("x.npy", np.ones((1, 3, 8, 8), np.float32))
    Image.new("RGB", (9, 9)).save("photo.png")
    Path("map.txt").write_text("".join(f"{name} -> {name}\n" for name in weights))
    Path("net.py").write_text(NET)
    Path("part.py").write_text("WIDTH = 4\n")
    if "net.onnx" in words:
        Path("net.onnx").write_bytes(
            cnndsl.load("good.arch").to_onnx(weights).SerializeToString()
        )
    Path("folder").mkdir()
    Path("link.npz").symlink_to("w.npz")
    Path("good.svg").symlink_to("good.arch")
    for one, other in (("w.npz", "onnx"), ("photo.png", "png"), ("net.py", "arch")):
        Path(f"hard.{other}").hardlink_to(one)
    before = {p.name: p.read_bytes() for p in Path().iterdir() if p.is_file()}
    result = run(*words, "-o", path)
    assert result.exit_code == 2
    assert "choose another output" in result.stderr
    assert {p.name: p.read_bytes() for p in Path().iterdir() if p.is_file()} == before


def test_a_closed_standard_input_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    done = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m cnndsl check - <&-"],
        env=ENVIRONMENT,
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr == "error: <stdin>: standard input is closed\n"


def test_a_pipe_is_read_and_a_device_without_an_end_is_refused() -> None:
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m cnndsl check <(cat good.arch)"],
        env=ENVIRONMENT,
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "is larger than 32 MB" in run("check", "/dev/zero").stderr


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
@pytest.mark.parametrize("name", ["kept.keys", "used.arch"])
def test_what_is_no_file_is_a_sentence(name: str, kind: str) -> None:
    said = '@keys("kept.keys")\n' if name == "kept.keys" else 'use "used.arch" (B)\n'
    Path("m.arch").write_text(f"{said}model M: x[3, H=8, W=8] -> y {{ y: conv(4, 3x3) }}\n")
    if kind == "link":
        Path(name).symlink_to(name)
    elif kind == "pipe":
        os.mkfifo(name)
    else:
        Path(name).mkdir()
    result = run("check", "m.arch")
    assert result.exit_code == 1
    reasons = {
        "link": "no such file|cannot find",
        "pipe": "not a regular",
        "folder": "is a dir",
    }
    assert re.search(reasons[kind], result.stderr)
    assert f"did you mean `{name}`" not in result.stderr


def test_two_files_are_not_both_standard_input() -> None:
    assert "is read once" in run("diff", "-", "-", stdin=GOOD).stderr


def test_what_a_name_holds_is_shown_and_not_obeyed() -> None:
    name = "a\x1b[31m\u202eb.arch"
    Path(name).write_text(GOOD)
    assert run("check", name).output.startswith("ok a·[31m·b.arch: Good")
    Path(name).write_text(BAD)
    assert "\x1b" not in run("check", name).stderr
    assert "\x1b" not in run("check", "none\x1b[31m.arch").stderr


# Photos


def _photo(path: str, pixels: np.ndarray) -> Result:
    pytest.importorskip("PIL.Image").fromarray(pixels).save(path)
    return run("run", "good.arch", "--input", f"x={path}", "-o", "y.npz")


@pytest.mark.parametrize("ending", ["png", "tiff"])
def test_a_photo_of_16_bits_is_read_to_its_last_bit(ending: str) -> None:
    from cnndsl.inputs import photo

    pixels = np.random.default_rng(0).integers(0, 2**16, (7, 7)).astype(np.uint16)
    assert _photo(f"x.{ending}", pixels).exit_code == 0
    _photo("x8.png", (pixels >> 8).astype(np.uint8))
    for channels in (1, 3):
        flat = (0.0,) * channels, (1.0,) * channels
        deep = photo(Path(f"x.{ending}"), (channels, 7, 7), *flat).array
        coarse = photo(Path("x8.png"), (channels, 7, 7), *flat).array
        assert deep.shape == coarse.shape == (1, channels, 7, 7)
        assert 0 < abs(deep - coarse).max() < 1 / 128


@pytest.mark.parametrize("kind", [np.float32, np.int32])
def test_a_photo_without_a_white_is_refused(kind: type) -> None:
    result = _photo("x.tiff", np.full((9, 9), 70_000, kind))
    assert result.exit_code == 2
    assert "which value is white" in result.stderr
    assert "give an array" in result.stderr


def test_a_photo_that_is_a_bomb_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    image = pytest.importorskip("PIL.Image")
    monkeypatch.setattr(image, "MAX_IMAGE_PIXELS", 1000)
    result = _photo("x.png", np.zeros((40, 40), np.uint8))
    assert result.exit_code == 2
    assert "x.png has more than 1,000 pixels" in result.stderr


@pytest.mark.parametrize(
    "options",
    [("--std", "nan,1,1"), ("--std", "0,1,1"), ("--mean", "inf,0,0"), ("--std=-1,1,1",)],
)
def test_a_mean_or_deviation_that_is_no_number_is_refused(options: tuple[str, ...]) -> None:
    image = pytest.importorskip("PIL.Image")
    image.new("RGB", (9, 9)).save("x.png")
    assert run("run", "good.arch", "--input", "x=x.png", *options).exit_code == 2


def test_a_mean_without_a_photo_is_refused() -> None:
    np.save("x.npy", np.ones((1, 3, 8, 8), np.float32))
    result = run("run", "good.arch", "--input", "x=x.npy", "--mean", "0,0,0")
    assert result.exit_code == 2
    assert "--mean and --std are for photos" in result.stderr


def test_a_negative_seed_or_variance_is_refused() -> None:
    np.save("x.npy", np.ones((1, 3, 8, 8), np.float32))
    assert run("run", "good.arch", "--input", "x=x.npy", "--seed", "-1").exit_code == 2
    Path("bn.arch").write_text("model M: x[3, H=8, W=8] -> y { y: bn }")
    names = ("weight", "bias", "running_mean", "running_var")
    weights = {f"y.bn.{name}": np.full(3, -1, np.float32) for name in names}
    np.savez("w.npz", **weights, **{"y.bn.num_batches_tracked": np.array(0)})
    result = run("run", "bn.arch", "--input", "x=x.npy", "--weights", "w.npz")
    assert result.exit_code == 2
    assert "a variance is never negative" in result.stderr
