"""What the tests share: goldens, and settings that make runs alike on every machine."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# Two workers with as many threads each as there are cores would only wait for each other.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

settings.register_profile("cnndsl", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("cnndsl")

TESTS = Path(__file__).resolve().parent

Golden = Callable[[str | Path, str], None]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="write the goldens anew; read the difference before you commit it",
    )


def pytest_collection_finish() -> None:
    """Let the collector rest, as `python -m cnndsl` does.

    It would walk PyTorch, all tests and every network that is kept again and again.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A file's tests go to one worker: they share networks that are made once.

    None, which is xdist's own choice, where `--dist` asks for another.
    """
    from xdist.scheduler import LoadFileScheduling

    return LoadFileScheduling(config, log) if config.getvalue("dist") == "load" else None


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """`golden("figures/unet.dot", text)`: the text is that of the file under tests/."""

    def compare(path: str | Path, text: str) -> None:
        file = TESTS / path
        if request.config.getoption("--update-golden"):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
            return
        assert file.is_file(), f"{file} is missing: pytest --update-golden writes it"
        assert text == file.read_text(encoding="utf-8")

    return compare
