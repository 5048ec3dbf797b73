"""What the tests share: goldens, and settings that make runs alike on every machine."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

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


KNOWN = {
    "analysis/test_memory.py::test_what_training_saves_is_what_autograd_keeps_to_the_byte"
    "[segnet]":
        "unpooling's places are told 3 % too low",
    "analysis/test_sizes.py::test_substituting_sizes_equals_elaborating_at_a_hundred_random_ones"
    "[pix2pix]": "96 of a hundred random sizes are refused",
    "plan/test_zoo_plans.py::test_a_shipped_network_is_the_same_planned[faster_rcnn_resnet50_fpn]":
        "differs by 1e-4 since its weights begin otherwise; not understood yet",
    "plan/test_zoo_plans.py::test_a_shipped_network_is_the_same_planned[mask_rcnn_resnet50_fpn]":
        "differs by 1e-4 since its weights begin otherwise; not understood yet",
    "figures/test_viewer.py::test_hover_search_open_and_keyboard":
        "the words of a box that is opened have changed",
    "torch/test_optimize.py::test_it_does_so_on_the_rest_of_the_zoo[faster_rcnn_resnet50_fpn]":
        "differs by 1e-4 since its weights begin otherwise; not understood yet",
    "torch/test_types.py::test_every_file_is_typed[False]": "SSDLite's flags, unpooling's size",
    "torch/test_types.py::test_every_file_is_typed[True]":
        "unpooling's size, an import's order",
    "torch/test_types.py::test_files_of_random_programs_are_typed": "unpooling's size",
    "torch/test_zoo.py::test_both_backends_agree[segnet-SegNet]":
        "differs in float32; not understood yet",
    "test_certain.py::test_what_is_loaded_is_right_or_else_said_to_be_by_order_alone":
        "a convolution and its norm may be interchanged by order alone",
}  # fmt: skip
"""Faults that are known and open, by the test that shows each."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Expect the faults that are known."""
    for item in items:
        reason = KNOWN.get(item.nodeid.removeprefix("tests/"))
        if reason:
            item.add_marker(pytest.mark.xfail(reason=reason, strict=False))
