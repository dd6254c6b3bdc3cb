"""Clients run by `make clients` in environments of their own; pytest leaves them alone."""

collect_ignore_glob = ["*.py"]
