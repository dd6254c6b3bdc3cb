"""Recipes that learn a model with model.fit."""
