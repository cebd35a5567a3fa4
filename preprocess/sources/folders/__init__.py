"""Clips as files beside the tables that name and transcribe them: audio folders and Common Voice releases.

It reads Common Voice's and `datasets`' own tables (the room `manifests` reads everybody else's), and compares what they
name with what is on the disk.
"""
