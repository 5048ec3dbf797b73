"""Rows sum to the totals, whatever they are grouped by and wherever they are cut."""

import csv
import io

import pytest

import cnndsl
from cnndsl.analysis.tables import COLUMNS, By, table


@pytest.mark.parametrize("by", ["layer", "op", "stage", "block"])
@pytest.mark.parametrize("top", [None, 3])
@pytest.mark.parametrize("name", ["resnet50", "mobilenetv2", "fpn_resnet50"])
def test_rows_sum_to_the_totals(name: str, top: int | None, by: By) -> None:
    network = cnndsl.load(name)
    found = table(network, by, COLUMNS, top)
    assert sum(item.parameters for item in found.items) == network.parameters
    assert sum(item.macs for item in found.items) == network.macs
    assert sum(item.count for item in found.items) == len(network.graph)
    shares = [row["cumulative"] for row in found.rows()]
    assert shares[-1] == pytest.approx(1)
    if top is not None:
        assert len(found.items) <= top + 1


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
