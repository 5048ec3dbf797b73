"""Items that repeat: whether two are one, and what the one stands for then."""

from __future__ import annotations

from cnndsl.figures.scene import Box, Cluster, Item


def copied(item: Item) -> Item:
    """The item as it is before others are folded into it."""
    if isinstance(item, Box):
        nodes = list(item.nodes)
        made = Box(item.key, item.title, item.family, nodes, item.signature, span=item.span)
        made.frame, made.values, made.shapes = item.frame, [*item.values], [*item.shapes]
        return made
    children = [copied(child) for child in item.children]
    return Cluster(item.key, item.title, children, span=item.span)


def merge(first: Item, item: Item) -> None:
    """Fold an item into an equal one."""
    first.count += item.count
    first.labels += item.labels
    if isinstance(first, Box) and isinstance(item, Box):
        first.nodes += item.nodes
        first.values += item.values
        first.shapes += item.shapes
        return
    assert isinstance(first, Cluster)
    assert isinstance(item, Cluster)
    for mine, other in zip(first.children, item.children, strict=True):
        count = mine.count
        merge(mine, other)
        mine.count = count
        del mine.labels[len(mine.labels) - len(other.labels) :]


def nameless(first: Item, then: Item) -> bool:
    """Items with labels of their own stay apart, so that each is found by its name."""
    # One label of `first` speaks for all: what is folded into it had none of its own.
    return all(label.startswith("[") for label in [*first.labels[:1], *then.labels])


def label_items(items: list[Item], label: str) -> None:
    """Name iterations, and the last item: a label stands for its line's value.

    What leads to an item with a label is of its line. A line may draw nothing.
    """
    for item in items:
        item.labels = [f"{label}{own}" if own.startswith("[") else own for own in item.labels]
    if items and not items[-1].labels:
        items[-1].labels = [label]
    line = ""
    for item in reversed(items):
        line = item.labels[0] if item.labels else line
        # The innermost of its lines with a name.
        if isinstance(item, Box) and (not item.line or item.line.startswith("[")):
            item.line = line
