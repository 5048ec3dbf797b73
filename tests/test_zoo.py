"""The shipped networks: every model elaborates, and is what its file says it is."""

from pathlib import Path

import numpy as np
import pytest

from cnndsl.analysis.expect import check
from cnndsl.files import zoo
from cnndsl.language import read
from cnndsl.language.evaluate import evaluate
from cnndsl.language.modules import about
from cnndsl.language.names import BlockDefinition
from cnndsl.network import load

FILES = sorted(zoo().glob("*.arch"))
SHARED = sorted((zoo() / "lib").glob("*.arch"))


def models(path: Path) -> dict[str, BlockDefinition]:
    return read(path).models


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_model_is_what_its_file_expects(path: Path) -> None:
    found = models(path)
    assert found, "a file beside the library declares a model"
    for definition in found.values():
        checked = check(definition)
        assert checked.network is not None
        assert not checked.diagnostics, "\n\n".join(map(str, checked.diagnostics))


def others(definition: BlockDefinition) -> dict[str, object]:
    """Another value for each parameter: half of a number, the last word, the opposite."""
    found: dict[str, object] = {}
    for param in definition.declaration.params:
        assert param.default is not None
        match evaluate(param.default, definition.file.env):
            case bool(value):
                found[param.name] = not value
            case int(value):
                found[param.name] = value // 2 or 2
            case float(value):
                found[param.name] = value / 2
            case str():
                found[param.name] = param.type.words[-1]
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_parameters_of_a_model_may_be_others(path: Path) -> None:
    for name, definition in models(path).items():
        settings = others(definition)
        outputs = [tensor.shape for tensor in load(path, name, settings).outputs.values()]
        if classes := settings.get("classes"):
            assert any(classes in shape for shape in outputs) or "detections" in settings


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_model_cites_its_source_and_states_both_counts_in_full(path: Path) -> None:
    for definition in models(path).values():
        assert about(definition).citations, definition.name
        claims = [
            (argument.name, argument.value.span.text)
            for meta in definition.declaration.metas
            if meta.name == "expect"
            for argument in meta.arguments
        ]
        for figure in ("params", "macs"):
            values = [text for name, text in claims if name == figure]
            assert values, f"{definition.name} does not expect its {figure}"
            assert all(text.replace("_", "").isdigit() for text in values), values


def test_a_fully_connected_layer_is_the_1x1_convolution_with_its_weights() -> None:
    rng = np.random.default_rng(0)
    x, weight, bias = (rng.normal(size=s) for s in ((2, 1024, 1, 1), (1000, 1024), 1000))
    full, convolved = (
        load("inception_claims", name) for name in ("FullyConnected", "ConvolvedFullyConnected")
    )
    found = full.to_numpy({"y.weight": weight, "y.bias": bias})(x)
    kernel = weight[:, :, None, None]
    same = convolved.to_numpy({"y.weight": kernel, "y.bias": bias})(x)
    np.testing.assert_allclose(same[..., 0, 0], found)


@pytest.mark.parametrize("path", SHARED, ids=lambda path: path.stem)
def test_the_library_holds_blocks_alone(path: Path) -> None:
    scope = read(path)
    assert scope.names
    assert not scope.models


def test_every_block_of_the_library_is_used_or_documented() -> None:
    shown = (Path(__file__).parents[1] / "docs" / "language.md").read_text(encoding="utf-8")
    used = "\n".join([shown, *(path.read_text() for path in zoo().rglob("*.arch"))])
    for path in SHARED:
        assert f'"lib/{path.name}"' in used, f"nothing uses lib/{path.name}"
