"""Adapters from footage to clip records, one file a source."""
