"""Weights on disk <-> named arrays <-> models."""
