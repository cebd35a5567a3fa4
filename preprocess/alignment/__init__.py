"""Long recordings cut at pauses, and their transcripts' words given to the pieces: made once, kept as one file.

What a piece's features are is `features`'; who calls the model is `decoder.py` alone.
"""
