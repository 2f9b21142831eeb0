"""Signal processing: pure tensors in, tensors out."""
