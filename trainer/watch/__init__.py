"""What a training shows while it works to those who ask over HTTP: metrics, health, status page.

It measures nothing and keeps no files: it is told what `trainer.telemetry`'s other sinks are told.
"""
