"""The package: what its top offers, what it brings in, and both ways of installing it."""

import os
import re
import subprocess
import sys
import venv
from pathlib import Path

import pytest

import cnndsl
from cnndsl.files import cached, grammar, shipped, zoo
from cnndsl.language import syntax

ROOT = Path(__file__).resolve().parents[1]
checkout = pytest.mark.skipif(
    not (ROOT / "pyproject.toml").is_file(), reason="only a checkout has the project's files"
)


def python(
    code: str, *options: str, executable: str | Path = sys.executable, **more: str
) -> str:
    environment = {**os.environ, **more}
    done = subprocess.run(
        [str(executable), *options, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_top_has_at_most_ten_names_and_each_is_documented() -> None:
    assert len(cnndsl.__all__) <= 10
    for name in cnndsl.__all__:
        assert getattr(cnndsl, name).__doc__
    assert set(cnndsl.__all__) <= set(dir(cnndsl))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = cnndsl.nothing


def test_importing_it_brings_nothing_else() -> None:
    heavy = ("torch", "numpy", "networkx", "lark", "click", "rich", "graphviz", "safetensors")
    python(
        f"import sys; before = set(sys.modules); import cnndsl; dir(cnndsl)\n"
        f"new = {{m.partition('.')[0] for m in set(sys.modules) - before}}\n"
        f"assert not new & {set(heavy)!r}, new & {set(heavy)!r}",
        PYTHONPATH=str(ROOT),
    )


def test_loading_and_summing_up_a_network_brings_no_torch_and_no_rich() -> None:
    python(
        "import sys, cnndsl\n"
        "str(cnndsl.load('resnet50').summary())\n"
        "assert not {'torch', 'rich', 'graphviz', 'safetensors'} & set(sys.modules)",
        PYTHONPATH=str(ROOT),
    )


def test_a_network_answers_for_itself() -> None:
    net = cnndsl.load("mobilenetv2", width=1.4)
    assert isinstance(net, cnndsl.Network)
    assert (net.parameters, net.macs) == (6_108_776, 582_195_824)
    assert net.graph.number_of_nodes() == len(list(net))
    small = cnndsl.load("mobilenetv2", inputs={"image": (3, 96, 96)})
    assert small.macs < 300_774_272
    assert small.outputs["logits"].shape == (1000,)


def test_a_text_and_a_model_of_it_are_loaded() -> None:
    text = "model A: x[3] -> y { y: linear(2) }\nmodel B: x[3] -> y { y: linear(5) }"
    assert cnndsl.loads(text).outputs["y"].shape == (2,)
    assert cnndsl.loads(text, "B").outputs["y"].shape == (5,)
    with pytest.raises(cnndsl.ArchError, match="has no model `C`"):
        cnndsl.loads(text, "C")


def test_the_zoo_is_named_and_each_name_loads() -> None:
    assert cnndsl.zoo() == tuple(shipped())
    assert "mobilenetv2" in cnndsl.zoo()
    assert cnndsl.load(cnndsl.zoo()[0]).parameters > 0


def test_the_generated_source_is_what_is_executed() -> None:
    torch = pytest.importorskip("torch")
    import inspect

    net = cnndsl.load("lenet5")
    module = net.to_torch()
    assert isinstance(module, torch.nn.Module)
    assert inspect.getsource(type(module)) in net.torch_source()
    assert sum(p.numel() for p in module.parameters()) == net.parameters


def test_both_backends_take_the_same_weights() -> None:
    torch = pytest.importorskip("torch")
    import numpy as np

    net = cnndsl.load("lenet5")
    weights = {name: w.numpy() for name, w in net.to_torch().state_dict().items()}
    x = np.random.default_rng(0).normal(size=(2, 1, 32, 32)).astype(np.float32)
    with torch.inference_mode():
        theirs = net.to_torch(weights).eval()(torch.from_numpy(x)).numpy()
    ours = net.to_numpy(weights)(x)
    assert np.abs(ours - theirs).max() <= 1e-4 * np.abs(theirs).max()


def test_the_grammar_and_the_zoo_are_found() -> None:
    assert "start:" in grammar()
    assert (zoo() / "lib").is_dir()


# The project's files agree with each other


def ci_line() -> str:
    found = re.search(r"^TEST='(.+)'$", (ROOT / ".ci/run").read_text(), re.MULTILINE)
    assert found is not None
    return found[1]


@checkout
def test_ci_runs_the_line_that_the_readme_gives() -> None:
    assert ci_line() in (ROOT / "README.md").read_text(encoding="utf-8").splitlines()


@checkout
def test_contributing_sets_up_what_ci_sets_up() -> None:
    extras = re.search(r'"(\.\[.+?\])"', ci_line())
    assert extras is not None
    assert extras[1] in (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


@checkout
def test_the_changelog_has_the_version() -> None:
    assert f"\n## {cnndsl.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


@checkout
def test_every_ignored_rule_carries_its_reason() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    ignored = re.search(r"\nignore = \[\n(.+?)\n\]", text, re.DOTALL)
    assert ignored is not None
    assert all(" # " in line for line in ignored[1].splitlines())


@checkout
def test_every_dependency_is_used() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    listed = re.search(r"\ndependencies = \[\n(.+?)\n\]", text, re.DOTALL)
    assert listed is not None
    source = "\n".join(path.read_text() for path in (ROOT / "cnndsl").rglob("*.py"))
    for name in re.findall(r'"([a-z]+)', listed[1]):
        # A distribution may be spelt otherwise than its package: fonttools is `fontTools`.
        used = rf"^\s*(import|from) {name}\b"
        assert re.search(used, source, re.MULTILINE | re.IGNORECASE), name


@checkout
def test_nothing_of_cuda_was_installed() -> None:
    from importlib.metadata import distributions

    names = {dist.metadata["Name"].lower() for dist in distributions()}
    assert not {name for name in names if name.startswith("nvidia-")}


# Installing it


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", str(folder)]
    subprocess.run([*command, str(ROOT)], check=True, capture_output=True, timeout=300)
    (found,) = folder.glob("*.whl")
    return found


def installed(folder: Path, *what: str) -> Path:
    """A Python with the package, and the dependencies of the one that runs here."""
    venv.create(folder, system_site_packages=False, with_pip=False, symlinks=True)
    executable = folder / "bin" / "python"
    site = python(
        "import sysconfig; print(sysconfig.get_path('purelib'))", executable=executable
    ).strip()
    pip = [sys.executable, "-m", "pip", "--python", str(executable), "install", "--no-deps"]
    command = [*pip, "--no-build-isolation", "--no-index", "--quiet", *what]
    # An editable install asks the new Python for the build backend: it borrows ours.
    borrowed = Path(site) / "borrowed.pth"
    borrowed.write_text("\n".join(p for p in sys.path if p.endswith("site-packages")))
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    return executable


USE = """
import pathlib, cnndsl, cnndsl.files
print(pathlib.Path(cnndsl.__file__).parent)
net = cnndsl.load("resnet50.arch")
assert net.parameters == 25_557_032
assert len(cnndsl.zoo()) >= 12
assert (pathlib.Path(cnndsl.__file__).parent / "py.typed").is_file()
"""


@checkout
@pytest.mark.slow
def test_a_wheel_carries_the_grammar_and_the_zoo(wheel: Path, tmp_path: Path) -> None:
    executable = installed(tmp_path / "env", str(wheel))
    home = python(USE, "-I", executable=executable).strip()
    assert Path(home).is_relative_to(tmp_path)
    command = [str(executable.parent / "cnndsl"), "check", "mobilenetv2.arch"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "3,504,872 parameters" in done.stdout


@checkout
@pytest.mark.slow
def test_an_editable_install_finds_them_beside_the_package(tmp_path: Path) -> None:
    executable = installed(tmp_path / "env", "-e", str(ROOT))
    home = python(USE, "-I", executable=executable).strip()
    assert Path(home) == ROOT / "cnndsl"


# The cache of the parser's tables


def test_the_cache_is_the_users_own_folder_or_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert cached("x") == str(tmp_path / "cache" / "cnndsl" / "x")
    (tmp_path / "cache" / "cnndsl").chmod(0o777)
    assert cached("x") is None
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "no" / "home" / "cache"))
    assert cached("x") is None
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize("content", [b"", b"junk", b"\x80\x04."])
def test_a_broken_cache_is_made_anew_in_silence(tmp_path: Path, content: bytes) -> None:
    folder = tmp_path / "cnndsl"
    folder.mkdir(mode=0o700)
    file = folder / syntax.table_name("start")
    file.write_bytes(content)
    code = "import cnndsl; print(cnndsl.load('lenet5').parameters)"
    found = python(code, XDG_CACHE_HOME=str(tmp_path), PYTHONPATH=str(ROOT))
    assert found == "61706\n"
    assert len(file.read_bytes()) > 10_000
