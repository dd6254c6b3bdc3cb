"""Bulk work: many texts through a bundle with Apache Beam, shard by shard."""

from kerasgpt.extras import require

require("apache_beam", "beam", "bulk work")
