"""A checkpoint as a faster-whisper folder: conversion, the small files beside it, the model card.

Whether the copy may be given away is `trainer.gate`'s to say. (`trainer.export` is the command.)
"""
