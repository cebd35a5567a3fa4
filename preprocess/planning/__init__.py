"""What a run will make and cost, before it writes: units, a sample, forecasts of bytes and of time.

It reserves nothing (`preprocess.governor`) and draws no screen (`preprocess.reporting`).
"""
