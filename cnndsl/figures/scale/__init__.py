"""The figure to scale: prisms whose sides follow from the sizes of what they stand for."""
