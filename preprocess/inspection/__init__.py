"""Looking at a source or a store: its structure, one row in words, and that row's log-mel picture.

It judges nothing: checksums and counts are `preprocess.verify`'s, over `shared.reading`.
"""
