"""The operating system, as both services need it: durable files, held folders, whose a file is, signals.

It knows no store (`shared.layout`, `shared.shard`) and decides nothing.
"""
