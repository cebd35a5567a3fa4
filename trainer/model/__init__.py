"""Whisper: its weights, its sizes and their arithmetic, decoding, and the device it is on.

It trains nothing (`trainer.training`); what a step takes of a GPU's memory is `trainer.memory`'s.
"""
