"""What is written runs on a GPU as it does on the CPU; skipped where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import cnndsl
from cnndsl.backends.torch.execute import module
from tests.both import inputs_of, weights_of
from tests.programs import users
from tests.programs.generate import generate
from tests.programs.harness import assert_right
from tests.small_zoo import NETWORKS
from tests.torch.on_gpu import CHECKS, Check, limit
from tools.torch_checks.checks import subject_of

if not torch.cuda.is_available():
    pytest.skip("no GPU", allow_module_level=True)

FURTHER = sorted((Path(__file__).parent.parent / "further").glob("*.arch"))
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize("on_gpu", CHECKS)
@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_on_a_gpu(name: str, on_gpu: Check) -> None:
    subject = subject_of(name)
    on_gpu(subject.made(), subject.images(), limit(subject.network))


@pytest.mark.parametrize("on_gpu", CHECKS)
@pytest.mark.parametrize("path", FURTHER, ids=lambda path: path.stem)
def test_a_further_network_on_a_gpu(path: Path, on_gpu: Check) -> None:
    network = cnndsl.load(path)
    made = module(network, weights_of(network)).eval()
    images = [torch.from_numpy(array) for array in inputs_of(network)]
    on_gpu(made, images, limit(network))


@pytest.mark.parametrize("seed", range(30))
def test_a_random_program_on_a_gpu(seed: int) -> None:
    assert_right(generate(seed), [users.on_gpu.__name__], seed)
