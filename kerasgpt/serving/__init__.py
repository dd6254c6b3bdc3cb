"""Talking to a model that is served: numpy and the standard library only."""
