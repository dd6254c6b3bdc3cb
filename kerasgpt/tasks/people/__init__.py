"""Blind comparison by people: the page they vote on, and what the votes say."""
