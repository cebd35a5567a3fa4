"""What the preprocessor and the trainer agree on: schema, settings, shards, store, text, errors.

Imports neither ray nor torch nor transformers.
"""
