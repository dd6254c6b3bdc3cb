"""The GPT-2 models: one forward pass for training, prefill and decode."""
