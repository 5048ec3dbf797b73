"""Builds the documentation's site, a folder that any web server serves.

python -m tools.site [FOLDER]         by default build/site

The extra `docs` brings MkDocs; the playground in it needs Node.js (`tools/playground`).
"""

from __future__ import annotations

import logging
import shutil
import sys
import tempfile
from pathlib import Path

from mkdocs.commands.build import build as write
from mkdocs.config import load_config

from cnndsl.figures import font
from tools.playground.__main__ import build as build_playground

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PAGES = ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE")
FOLDERS = ("docs", "archs", "examples")


def build(folder: Path, playground: Path) -> None:
    """Write the site with a playground that is built.  Raises Abort: a link leads nowhere."""
    with tempfile.TemporaryDirectory() as temporary:
        pages = Path(temporary)
        for name in PAGES:
            shutil.copy(ROOT / name, pages)
        for name in FOLDERS:
            unread = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, pages / name, ignore=unread)
        shutil.copytree(playground, pages / "playground")
        (pages / "assets").mkdir()
        for path in (HERE / "site.css", HERE / "site.js", *font.FILES):
            shutil.copy(path, pages / "assets")
        config = load_config(
            str(HERE / "mkdocs.yml"),
            docs_dir=str(pages),
            site_dir=str(folder.resolve()),
            strict=True,
        )
        write(config)


if __name__ == "__main__":
    logging.basicConfig(format="%(levelname)s: %(message)s")
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build" / "site"
    with tempfile.TemporaryDirectory() as temporary:
        built = Path(temporary) / "playground"
        build_playground(built)
        build(target, built)
    print(f"{target}: python -m http.server -d {target}")
