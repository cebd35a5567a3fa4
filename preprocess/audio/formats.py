"""What is read: libsndfile's formats, and of FFmpeg's demuxers those of this list. `docs/formats.md` has the table."""

DEMUXERS = (
    # Containers of music and of speech.
    *("aac", "ac3", "aiff", "amr", "ape", "asf", "au", "caf", "dsf", "dts", "dtshd", "eac3", "flac", "iff", "ircam"),
    *("loas", "matroska", "mlp", "mov", "mp3", "mpc", "mpc8", "nistsphere", "ogg", "oma", "pvf", "qcp", "qoa"),
    *("rm", "shn", "sox", "tak", "truehd", "tta", "voc", "vqf", "w64", "wav", "wsd", "wv", "xwma", "bonk"),
    # Films and broadcasts, whose sound is read.
    *("avi", "flv", "mpeg", "mpegts"),
)
"""FFmpeg's names. None of them opens another file or address: playlists, scripts and captures are left out.

So is ADX: FFmpeg 8 divides by a zero of its header, which ends the process.
"""

STATES_LENGTH = frozenset({"aiff", "ape", "asf", "caf", "dsf", "mov", "mpc", "mpc8", "tak", "tta", "w64", "wv"})
"""Demuxers whose container says how long it is, so that a file with less of it was cut off."""

LOSSLESS = (
    "pcm",
    "flac",
    "alac",
    "als",
    "ape",
    "dsd",
    "mlp",
    "shorten",
    "tak",
    "truehd",
    "tta",
    "wavpack",
    "wmalossless",
)
"""How the names of codecs begin that add no padding."""

LOSSY_SUBTYPES = ("MPEG_LAYER", "MS_ADPCM", "IMA_ADPCM", "GSM610", "G721", "G723", "NMS_ADPCM", "VOX_ADPCM")
"""How libsndfile's names of codecs begin that add some, or count in whole blocks; Vorbis and Opus state theirs."""
