"""One network in several forms: as torch, as an ONNX file, behind a server."""
