"""What is shown of an evaluation: the figures on a screen, and the page with its plots.

It reads results (`trainer/evaluation/results.py`); nothing is transcribed or scored here.
"""
