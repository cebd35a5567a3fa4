"""Encoded bytes to samples: every container and codec that a clip may come in (docs/formats.md), within stated limits.

It does not find clips (`preprocess.sources`) and computes no features from samples (`preprocess.features`).
"""
