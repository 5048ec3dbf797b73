"""Files that use each other: where they are looked for, and what they share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cnndsl.diagnostics import ArchError
from cnndsl.files import zoo
from cnndsl.network import load, loads
from tests.language.short import attribute, keys, ops

STEM = "default conv(act=tanh)\nlet width = 7\nblock Stem(c: int) {\n  conv(c, 3x3)\n}\n"
MODEL = 'use "{path}"{names}\nmodel M: image[3, H=8, W=8] -> y {{\n  y: {step}\n}}\n'


def write(folder: Path, **files: str) -> Path:
    """Write files, and return the one named `main`."""
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.arch"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder / "main.arch"


def code(path: Path) -> str:
    with pytest.raises(ArchError) as caught:
        load(path)
    return caught.value.diagnostics[0].code


def test_a_file_is_looked_for_beside_the_one_that_uses_it(tmp_path: Path) -> None:
    text = MODEL.format(path="lib/stem.arch", names=" (Stem)", step="Stem(4)")
    network = load(write(tmp_path, main=text, lib__stem=STEM))
    assert keys(network)[0] == "y.conv.0.weight"


def test_then_among_the_shipped_ones(tmp_path: Path) -> None:
    shipped = sorted(p.relative_to(zoo()).as_posix() for p in zoo().rglob("*.arch"))
    text = MODEL.format(path=shipped[0], names="", step="relu")
    assert ops(load(write(tmp_path, main=text))) == ["relu"]


def test_the_file_beside_wins_over_the_shipped_one(tmp_path: Path) -> None:
    text = MODEL.format(path="vgg16.arch", names=" (Stem)", step="Stem(4)")
    assert ops(load(write(tmp_path, main=text, vgg16=STEM))) == ["conv", "tanh"]


def test_a_name_may_get_another(tmp_path: Path) -> None:
    text = MODEL.format(path="stem.arch", names=" (Stem as S, width as w)", step="S(w)")
    assert attribute(load(write(tmp_path, main=text, stem=STEM)), "y.S.conv", "out") == 7


def test_without_names_all_are_taken(tmp_path: Path) -> None:
    text = MODEL.format(path="stem.arch", names="", step="Stem(width)")
    assert ops(load(write(tmp_path, main=text, stem=STEM))) == ["conv", "tanh"]


def test_what_a_file_uses_is_not_passed_on(tmp_path: Path) -> None:
    text = MODEL.format(path="middle.arch", names=" (Stem)", step="Stem(4)")
    assert code(write(tmp_path, main=text, middle='use "stem.arch"\n', stem=STEM)) == "E207"


def test_defaults_are_neither_imported_nor_exported(tmp_path: Path) -> None:
    text = MODEL.format(path="stem.arch", names="", step="Stem(4) -> conv(5, 3x3)")
    network = load(write(tmp_path, main=f"default conv(act=relu)\n{text}", stem=STEM))
    assert ops(network) == ["conv", "tanh", "conv", "relu"]


def test_a_file_is_read_once_however_many_use_it(tmp_path: Path) -> None:
    files = {"stem": STEM, "a": 'use "stem.arch"\nblock A { Stem(4) }\n'}
    text = 'use "a.arch"\n' + MODEL.format(path="stem.arch", names="", step="A -> Stem(4)")
    assert ops(load(write(tmp_path, main=text, **files))) == ["conv", "tanh"] * 2


def test_a_circle_is_an_error(tmp_path: Path) -> None:
    files = {"a": 'use "b.arch"\n', "b": 'use "a.arch"\n'}
    text = MODEL.format(path="a.arch", names="", step="relu")
    assert code(write(tmp_path, main=text, **files)) == "E208"
    assert code(write(tmp_path, main='use "main.arch"\n')) == "E208"


@pytest.mark.parametrize("path", ["../outside.arch", "/etc/passwd", "lib/../../outside.arch"])
def test_a_path_outside_both_roots_is_an_error(tmp_path: Path, path: str) -> None:
    text = MODEL.format(path=path, names="", step="relu")
    write(tmp_path, outside=STEM)
    assert code(write(tmp_path / "inner", main=text)) == "E209"


def test_a_link_does_not_lead_out(tmp_path: Path) -> None:
    write(tmp_path, outside=STEM)
    text = MODEL.format(path="link.arch", names="", step="relu")
    main = write(tmp_path / "inner", main=text)
    (tmp_path / "inner" / "link.arch").symlink_to(tmp_path / "outside.arch")
    assert code(main) == "E209"


def test_a_used_file_may_look_up_to_the_main_file_s_folder(tmp_path: Path) -> None:
    files = {"stem": STEM, "lib__a": 'use "../stem.arch"\nblock A { Stem(4) }\n'}
    text = MODEL.format(path="lib/a.arch", names="", step="A")
    assert ops(load(write(tmp_path, main=text, **files))) == ["conv", "tanh"]


def test_a_used_file_s_faults_are_told_with_its_name(tmp_path: Path) -> None:
    text = MODEL.format(path="lib/a.arch", names="", step="A")
    main = write(tmp_path, main=text, lib__a="block A {\n  relu relu\n}\nblock B { = }\n")
    with pytest.raises(ArchError) as caught:
        load(main)
    assert [str(d.span) for d in caught.value.diagnostics] == [
        "lib/a.arch:2:8",
        "lib/a.arch:4:11",
    ]


@pytest.mark.parametrize("path", ["", ".", "no\\such", "x" * 5000, "con:"])
def test_odd_paths_are_a_sentence(tmp_path: Path, path: str) -> None:
    text = f'use "{path}"\nmodel M: x[3] -> y {{ y: relu }}'
    with pytest.raises(ArchError) as caught:
        loads(text)
    assert caught.value.diagnostics[0].code == "E207"


def test_a_missing_file_is_the_system_s_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none.arch")


def test_a_directory_is_the_system_s_error(tmp_path: Path) -> None:
    with pytest.raises(OSError):  # noqa: PT011 - which one, the system decides
        load(tmp_path)


@pytest.mark.skipif(os.name == "nt", reason="no mode bits")
def test_a_shipped_name_is_found_with_or_without_its_ending() -> None:
    assert load("vgg16").name == load("vgg16.arch").name


def test_a_text_may_use_the_shipped_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert ops(loads(MODEL.format(path="vgg16.arch", names="", step="relu"))) == ["relu"]
