"""From the store to micro-batches: which clips, in what order, of which lengths, in which arrays.

A store's own format is `shared`'s; nothing here knows the model or the GPU (`trainer.model`, `trainer.memory`).
"""
