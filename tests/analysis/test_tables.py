"""Flat tables: the columns of a layer, and what is printed and written of them."""

import csv
import io

import pytest

import cnndsl
from cnndsl.analysis.columns import COLUMNS
from cnndsl.analysis.tables import table


def test_columns_of_a_layer() -> None:
    network = cnndsl.load("resnet50")
    row = next(r for r in table(network, "layer", COLUMNS).rows() if r["layer"] == "c1.conv")
    assert (row["shape"], row["rf"], row["stride"]) == ("[64, 112, 112]", "7", "2")
    assert row["bytes"] == 4 * 64 * 112 * 112
    moved = 4 * (64 * 112 * 112 + 3 * 224 * 224 + 9408)
    assert row["intensity"] == pytest.approx(2 * 118_013_952 / moved)


def test_csv_reads_back_and_an_unknown_column_suggests_the_nearest() -> None:
    network = cnndsl.load("lenet5")
    rows = list(csv.DictReader(io.StringIO(table(network, "op").csv())))
    assert sum(int(row["macs"]) for row in rows) == network.macs
    assert str(table(network)).splitlines()[-1].startswith("total")
    with pytest.raises(LookupError, match="did you mean `share`"):
        table(network, columns=["shar"])
