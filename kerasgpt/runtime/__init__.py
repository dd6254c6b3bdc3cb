"""ONNX Runtime as an engine: numpy and onnxruntime only."""
