"""Foreign networks, PyTorch's and ONNX's, as files that read like their papers."""
