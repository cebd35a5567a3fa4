"""The preprocessing service: source rows in, one finished log-mel store out. Never imports torch or transformers."""

from shared.command.commands import explain_missing

explain_missing("preprocess")
