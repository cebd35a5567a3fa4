"""What a run shows while it works: live view, event log, metrics, status page.

It changes nothing about a run and measures nothing by itself (`preprocess.governor`, `preprocess.execution`);
what stays to be read afterwards is `preprocess.reporting`'s.
"""
