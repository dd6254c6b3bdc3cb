"""Bulk work: many texts through a bundle with Apache Beam, shard by shard."""
