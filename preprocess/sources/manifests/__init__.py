"""A person's own recordings: tables, NeMo, Kaldi, lhotse, LJSpeech, and texts beside the clips.

Each reader makes `entries.Entries`, one a row: a file, its words, and what of the file they are spoken in. How they
are read again is `parts`' alone. Nothing is guessed that the data does not settle: then it stops, shows three rows as
read, and names the options. Other data sets are the other modules of `preprocess.sources`.
"""
