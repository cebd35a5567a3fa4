"""A user's machine tried as a training will use it: probes that look and compute, and a line for each on one screen.

What is looked at is told apart from what is made of it: observations are plain values, the judging is pure, and probes
run in processes of their own, so that one that hangs or is killed is a line. It is `trainer.train` that trains.
"""
