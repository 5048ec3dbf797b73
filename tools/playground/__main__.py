"""Builds the playground, a folder that any web server serves.

python -m tools.playground [FOLDER]         by default build/playground

Node.js brings Pyodide, CodeMirror and esbuild (`npm ci`, as the lock file says); the rest is
this checkout's wheel and the packages that it needs, as they are installed here.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

from cnndsl.analysis.costs import giga, total
from cnndsl.editing.tokens import keywords
from cnndsl.figures import draw, font
from cnndsl.figures.text import count_text
from cnndsl.files import shipped
from cnndsl.language.evaluate import FUNCTIONS, WORDS
from cnndsl.language.names import operations
from cnndsl.language.types import _TYPES as TYPES
from cnndsl.network import load

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
NEEDED = ("lark", "networkx", "graphviz", "fonttools")
"""What the wheel needs to check, to draw and to translate; all of it is plain Python."""
LEFT_OUT = ("tests", "__pycache__", "bin", "share")
DECLARING = ("model", "block", "use", "as", "default", "let")
PYODIDE = ("pyodide.asm.wasm", "python_stdlib.zip")
STATIC = ("index.html", "style.css", "icon.svg")


def build(folder: Path) -> None:
    """Write the folder anew."""
    folder = folder.resolve()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    modules = packages()
    for name in STATIC:
        shutil.copy(HERE / "web" / name, folder)
    for path in font.FILES:
        shutil.copy(path, folder)
    for name in PYODIDE:
        shutil.copyfile(modules / "pyodide" / name, folder / name)
    # Not every server knows what `.mjs` is.
    shutil.copyfile(modules / "pyodide" / "pyodide.asm.mjs", folder / "pyodide.asm.js")
    lock = json.loads((modules / "pyodide" / "pyodide-lock.json").read_text(encoding="utf-8"))
    lock["packages"] = {}  # none of those that are fetched from elsewhere
    (folder / "pyodide-lock.json").write_text(json.dumps(lock), encoding="utf-8")
    _bundle(folder)
    worker = folder / "worker.js"
    text = worker.read_text(encoding="utf-8")
    assert text.count("pyodide.asm.mjs") == 1
    worker.write_text(text.replace("pyodide.asm.mjs", "pyodide.asm.js"), encoding="utf-8")
    _python(folder / "python.zip")
    _licences(folder / "licences.txt")
    _zoo(folder)


def packages() -> Path:
    """The packages of npm, as the lock file says."""
    lock, have = HERE / "package-lock.json", HERE / "node_modules" / ".package-lock.json"
    if not have.exists() or have.stat().st_mtime < lock.stat().st_mtime:
        npm = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
        subprocess.run(npm, cwd=HERE, check=True, capture_output=True)
        have.touch()
    return HERE / "node_modules"


def _bundle(folder: Path) -> None:
    """The page's and the worker's JavaScript, one file each."""
    words = {
        "declaring": sorted(DECLARING),
        "keywords": sorted(keywords() - set(DECLARING)),
        "operations": sorted(operations()),
        "functions": sorted(FUNCTIONS),
        "words": sorted([*WORDS, "skip"]),
        "types": sorted(TYPES),
    }
    command = [
        str(HERE / "node_modules" / ".bin" / "esbuild"), "main.js", "worker.js",
        "--bundle", "--minify", "--format=esm", "--platform=browser", "--target=es2022",
        "--legal-comments=external", "--log-level=error", f"--outdir={folder}",
        f"--define:WORDS={json.dumps(words)}", "--external:node:*", "--external:ws",
    ]  # fmt: skip
    environment = {**os.environ, "NODE_PATH": str(HERE / "node_modules")}
    subprocess.run(command, cwd=HERE / "web", check=True, env=environment)


def _python(target: Path) -> None:
    """The wheel and what it needs, in one archive."""
    with (
        tempfile.TemporaryDirectory() as folder,
        zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive,
    ):
        pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
        subprocess.run([*pip, "-w", folder, str(ROOT)], check=True)
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as ours:
            for name in ours.namelist():
                _add(archive, name, ours.read(name))
        for package in NEEDED:
            for name, path in _files(package):
                _add(archive, name, path.read_bytes())


def _files(package: str) -> Iterator[tuple[str, Path]]:
    """The Python of an installed package, without its tests and its compiled parts."""
    for file in distribution(package).files or ():
        plain = file.suffix not in (".so", ".pyd", ".pyx", ".pxd", ".c", ".pyc")
        if plain and ".." not in file.parts and not {*file.parts} & {*LEFT_OUT}:
            yield file.as_posix(), Path(str(file.locate()))


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    """A file of an archive that is the same at each build."""
    entry = zipfile.ZipInfo(name)
    entry.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(entry, data)


def _licences(target: Path) -> None:
    """The licences of the JavaScript; those of the Python are in its archive."""
    lock = json.loads((HERE / "package-lock.json").read_text(encoding="utf-8"))
    texts = []
    for name, about in sorted(lock["packages"].items()):
        if name and "esbuild" not in name and not about.get("optional"):
            found = sorted((HERE / name).glob("LICEN*"))
            text = found[0].read_text(encoding="utf-8") if found else ""
            package = name.removeprefix("node_modules/")
            texts.append(f"{package} {about['version']}: {about['license']}\n\n{text}".strip())
    target.write_text("\n\n\n".join(texts) + "\n", encoding="utf-8")


def _zoo(folder: Path) -> None:
    """The networks: their texts, their figures, and a list of them."""
    (folder / "zoo").mkdir()
    listed = []
    for name, path in shipped().items():
        network = load(path)
        whole = total(network)
        shutil.copy(path, folder / "zoo")
        draw(network, folder / "zoo" / f"{name}.svg")
        cited = "; ".join(str(each) for each in network.structure.definition.citations)
        costs = f"{count_text(whole.parameters)} parameters · {giga(whole.macs)} G"
        listed.append({"name": name, "cited": cited, "costs": costs})
    text = json.dumps(listed, ensure_ascii=False, indent=1)
    (folder / "zoo.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build" / "playground"
    build(target)
    print(f"{target}: python -m http.server -d {target}")
