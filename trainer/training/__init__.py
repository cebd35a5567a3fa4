"""The run: components made once, the loop of steps, and going on where an earlier run stopped.

It reads no shards (`trainer.data`), writes no checkpoints (`trainer.checkpoints`), tells nobody (`trainer.telemetry`).
"""
