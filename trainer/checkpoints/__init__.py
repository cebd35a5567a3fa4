"""A training's output folder: checkpoints saved whole or not at all, kept, rotated, uploaded.

What goes on from a checkpoint is `trainer.training`'s (resume.py); other formats are `trainer.exporting`'s.
"""
