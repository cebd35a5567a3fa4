"""How files of audio are built, by their bytes alone: where one begins, what it states, where the next one follows.

It decodes nothing: what becomes of a part is `preprocess.audio.decode`'s.
"""
