"""Packaged data: GPT-2's vocabulary, a training text, a text to measure parity on."""
