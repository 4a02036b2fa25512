"""A run taken out of adkit: an ONNX model and a file of plain Python that decide as the run does."""
