"""A German speech corpus and a tiny Whisper model directory, made here: a stand-in for the Hub."""
