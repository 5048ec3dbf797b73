"""A photo as the pieces that stand on the first plane."""

from __future__ import annotations

from pathlib import Path

from cnndsl.graph import Network

ROWS, COLUMNS = 56, 40
LEVELS = 31
"""Of each colour: pieces that look alike are one colour in the file."""


def mosaic(path: Path, network: Network) -> tuple[tuple[str, ...], ...]:
    """Rows of colours, `#rrggbb`: the photo as the network's first input gets it, in pieces.

    Raises OSError: it cannot be read. ArchError: it is not a photo, or the input not one's.
    """
    from cnndsl.inputs import cropped

    pixels = cropped(path, next(iter(network.inputs.values())).shape)
    height, width, channels = pixels.shape
    rows, columns = min(ROWS, height), min(COLUMNS, width)
    found = []
    for row in range(rows):
        part = pixels[row * height // rows : (row + 1) * height // rows]
        line = []
        for column in range(columns):
            piece = part[:, column * width // columns : (column + 1) * width // columns]
            mean = piece.reshape(-1, channels).mean(0).tolist() * (3 // channels)
            line.append(
                "#" + "".join(f"{round(round(v * LEVELS) * 255 / LEVELS):02x}" for v in mean)
            )
        found.append(tuple(line))
    return tuple(found)
