"""What PyTorch's own tools make of each written file; `python -m tools.torch_checks`."""
