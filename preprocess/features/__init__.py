"""One row to a feature row, one unit to a shard: all that an actor does.

It starts no actors and hands out no work (`preprocess.execution`); decoding lies in `preprocess.audio`.
"""
