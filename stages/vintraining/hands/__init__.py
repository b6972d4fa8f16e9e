"""Handwriting that people have labelled or checked."""
