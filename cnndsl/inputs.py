"""Inputs of a network from files: arrays, and photos prepared as ImageNet's for validation."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cnndsl.diagnostics import ArchError, Diagnostic
from cnndsl.files import noted, read_whole
from cnndsl.ops.facts import Array, Shape, spell_shape

if TYPE_CHECKING:
    from PIL.Image import Image

    from cnndsl.graph import Network
    from cnndsl.language.tree import Port

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and deviation of red, green and blue.  Source: convention."""

MAX_PHOTO = 500_000_000
"""Bytes of a photo's file."""
MAX_PIXELS = 100_000_000
"""A photo may have no more once its shorter side is resized."""
PIECES, LEVELS = (56, 40), 31
"""Rows and columns of a mosaic, and the number of levels of each colour."""


def read_array(path: Path) -> Array:
    """The array of an .npy file.  Raises OSError, ArchError: it is not one."""
    with noted(path).open("rb") as file:
        try:
            array = np.load(file, allow_pickle=False)
        except (ValueError, EOFError) as error:
            # NumPy takes whatever it does not know for a pickle, and advises trusting it.
            reason = "" if "pickle" in str(error) else f": {error}"
            raise _refused(f"{path} is not an array in NumPy's format{reason}") from None
        except MemoryError:
            message = f"the array in {path} does not fit in memory"
            raise _refused(message) from None
    if not isinstance(array, np.ndarray):
        array.close()
        raise _refused(f"{path} is an archive of arrays", "give one array, as .npy")
    return array


def batched(array: Array, port: Port) -> Array:
    """The array with the batch first: one that has the rank of a sample is a batch of one."""
    dims = port.shape or ()
    sample = len(dims) == array.ndim and not any(dim.rest for dim in dims)
    return array[None] if sample else array


def _refused(message: str, help: str = "") -> ArchError:
    return ArchError([Diagnostic("E602", message, help=help)])


@dataclass(frozen=True, slots=True)
class Prepared:
    """The array, the batch first, and a sentence on what was done."""

    array: Array
    said: str


def photo(
    path: Path,
    shape: Shape,
    mean: tuple[float, ...] | None,
    deviation: tuple[float, ...] | None,
) -> Prepared:
    """A photo resized, cropped and scaled to `[C, H, W]`.  → (1, C, H, W), float32.

    The shorter side becomes 256/224 of the crop's; mean and deviation are ImageNet's for
    three channels, and 0 and 1 for one, unless given.
    Raises OSError: it cannot be read. ArchError: it is not a photo, or the shape not one's.
    """
    channels, height, width = _sizes(shape)
    pixels, size = _pixels(path, channels, height, width)
    own = IMAGENET if channels == 3 else ((0.0,), (1.0,))
    mean, deviation = mean or own[0], deviation or own[1]
    for name, values in (("mean", mean), ("deviation", deviation)):
        single = np.finfo(np.float32)
        least = single.tiny if name == "deviation" else -single.max
        usable = all(least <= value <= single.max for value in values)
        if len(values) != channels or not usable:
            shown = ", ".join(map(str, values))
            kind = "positive numbers" if name == "deviation" else "numbers"
            message = f"the {name} is {shown}, but must be {channels} {kind}"
            raise _refused(message, "one for each channel")
    array = (pixels - np.array(mean, np.float32)) / np.array(deviation, np.float32)
    imagenet = "ImageNet's " if (mean, deviation) == IMAGENET else ""
    said = (
        f"{path}: resized to {size[0]}×{size[1]}, centre cropped to {width}×{height}, "
        f"scaled to 0…1, less {imagenet}mean {mean}, by {imagenet}deviation {deviation}"
    )
    return Prepared(np.ascontiguousarray(array.transpose(2, 0, 1)[None], np.float32), said)


def mosaic(path: Path, network: Network) -> tuple[tuple[str, ...], ...]:
    """Rows of colours, `#rrggbb`: a photo as the first input gets it, in pieces, for a figure.

    Raises OSError: it cannot be read. ArchError: it is not a photo, or the shape not one's.
    """
    pixels, _ = _pixels(path, *_sizes(next(iter(network.inputs.values())).shape))
    height, width, channels = pixels.shape
    rows, columns = min(PIECES[0], height), min(PIECES[1], width)
    found = []
    for row in range(rows):
        part = pixels[row * height // rows : (row + 1) * height // rows]
        line = []
        for column in range(columns):
            piece = part[:, column * width // columns : (column + 1) * width // columns]
            mean = piece.reshape(-1, channels).mean(0).tolist() * (3 // channels)
            levels = [round(round(value * LEVELS) * 255 / LEVELS) for value in mean]
            line.append("#" + "".join(f"{level:02x}" for level in levels))
        found.append(tuple(line))
    return tuple(found)


def _sizes(shape: Shape) -> tuple[int, int, int]:
    if len(shape) != 3 or shape[0] not in (1, 3):
        message = (
            f"a photo has 1 or 3 channels and 2 axes, but the input is {spell_shape(shape)}"
        )
        raise _refused(message, "give an array: --input name=x.npy")
    channels, height, width = (int(n) for n in shape)
    return channels, height, width


def _pixels(
    path: Path, channels: int, height: int, width: int
) -> tuple[Array, tuple[int, int]]:
    """The cropped photo in 0…1, and the size (width, height) before the crop."""
    try:
        from PIL import Image, ImageOps, UnidentifiedImageError
    except ImportError:
        message = "a photo needs Pillow, which is not installed"
        help = 'pip install "cnndsl[photo]", or give an array: --input name=x.npy'
        raise _refused(message, help) from None
    data = read_whole(path, MAX_PHOTO)
    try:
        from io import BytesIO

        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            opened = Image.open(BytesIO(data))
        image = _even(ImageOps.exif_transpose(opened), path, opened.format)
        if image.mode != "F":
            image = image.convert("RGB" if channels == 3 else "L")
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        most = f"{Image.MAX_IMAGE_PIXELS or 0:,}"
        message = f"{path} has more than {most} pixels"
        raise _refused(message, "resize it first, or give an array") from None
    except UnidentifiedImageError:
        raise _refused(f"{path} is not a photo in a format that Pillow reads") from None
    except (OSError, ValueError, SyntaxError) as error:
        raise _refused(f"{path} cannot be read as a photo: {error}") from None
    scale = max(256 / 224 * height / image.height, 256 / 224 * width / image.width)
    # As torchvision: the longer side is rounded down.
    size = (
        max(width, int(scale * image.width + 1e-6)),
        max(height, int(scale * image.height + 1e-6)),
    )
    if size[0] * size[1] > MAX_PIXELS:
        message = f"{path}, {image.width}×{image.height}, is too elongated: crop it first"
        raise _refused(message)
    image = image.resize(size, Image.Resampling.BILINEAR)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    image = image.crop((left, top, left + width, top + height))
    whole = np.float32(1 if image.mode == "F" else 255)
    pixels = np.asarray(image, np.float32).reshape(height, width, -1) / whole
    return np.broadcast_to(pixels, (height, width, channels)), size


def _even(image: Image, path: Path, format: str | None) -> Image:
    """A photo of 16 bits as one of floats in 0…1; others as they are.

    Raises ArchError: its numbers have no largest, so nobody knows which of them is white.
    """
    from PIL import Image

    if image.mode.startswith("I;16") or (image.mode == "I" and format == "PNG"):
        return Image.fromarray(np.asarray(image).astype(np.float32) / np.float32(65535))
    if image.mode[:1] in "IF":
        message = f"{path} has 32-bit values, and nothing says which value is white"
        raise _refused(
            message, "save it with 8 or 16 bits, or give an array: --input name=x.npy"
        )
    return image
