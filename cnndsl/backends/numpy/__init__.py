"""The network as NumPy computes it."""
