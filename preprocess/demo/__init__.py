"""A built-in German data set and a tiny Whisper model, made from nothing for `--demo` and for the tests.

It prepares no features: what it makes is read like any other source (`preprocess.sources`).
"""
