"""The run: components made once, the loop of steps, and going on where an earlier run stopped.

It reads no shards (`trainer.data`), writes no checkpoint files (`trainer.checkpoints`) and tells nobody (`trainer.telemetry`).
"""
