"""Hostile inputs that are no audio: other files, and scripts by which FFmpeg could be made to open something else."""

import gzip
import io
import pickle
import zipfile

import numpy as np

from tests.support.encoded import VALID
from tests.support.hostile_input import EMPTY, UNDECODABLE, Hostile

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x10\0\0\0\x10\0\x08\6\0\0\0"
PLAYLIST = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:///etc/passwd\n#EXTINF:9,\nhttp://127.0.0.1:9/a.ts\n"
SCRIPT = "ffconcat version 1.0\nfile '/etc/passwd'\nfile 'http://127.0.0.1:9/a.wav'\n"
SESSION = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n"
MANIFEST = "<?xml version='1.0'?><MPD><Period><BaseURL>file:///etc/passwd</BaseURL></Period></MPD>"


class _Command:
    def __reduce__(self):
        return print, ("unpickled",)


def files():
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as writer:
        writer.writestr("a.wav", VALID["wav"])
    noise = np.random.default_rng(3).bytes(1 << 20)
    return {
        "nothing": (b"", EMPTY),
        "one byte": b"R",
        "four bytes": b"RIFF",
        "text": b"Guten Tag!\n" * 100,
        "html": b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
        "json": b'{"error": "rate limit"}',
        "png": PNG + bytes(100),
        "zip": archive.getvalue(),
        "gzip bomb": gzip.compress(bytes(64 << 20), 9, mtime=0),
        "elf": b"\x7fELF\2\1\1" + bytes(57),
        "pdf": b"%PDF-1.7\n" + bytes(200),
        "pickle": pickle.dumps(_Command()),
        "git lfs pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 100000\n",
        "parquet": b"PAR1" + bytes(100) + b"PAR1",
        "midi": b"MThd\0\0\0\6\0\1\xff\xff\1\xe0MTrk\xff\xff\xff\xff",
        "1 MB of zeros": bytes(1 << 20),
        "1 MB of 0xff": (b"\xff" * (1 << 20), None),
        "1 MB of noise": (noise, None),
        "riff over and over": b"RIFF" * 100_000,
        "the name of a file": b"/etc/passwd",
        "a wav in base64": b"data:audio/wav;base64,UklGRiQAAABXQVZFZm10IBAAAAABAAEA",
    }


def scripts():
    """What FFmpeg follows when it guesses the format itself, bare and behind the magic numbers that we know."""
    bare = {"hls playlist": PLAYLIST, "ffconcat script": SCRIPT, "sdp session": SESSION, "dash manifest": MANIFEST}
    starts = {"mp4": b"\0\0\0\x14ftypM4A \0\0\0\0M4A ", "ebml": b"\x1a\x45\xdf\xa3", "adts": b"\xff\xf1\x50\x80"}
    lines = {
        "url": "http://127.0.0.1:9/a.wav",
        "concat url": "concat:/etc/passwd|/etc/hosts",
        "subfile url": "subfile,,start,0,end,9,,:/etc/passwd",
    }
    behind = {f"{name} behind {magic}": start + bare[name].encode() for name in bare for magic, start in starts.items()}
    return {name: text.encode() for name, text in (bare | lines).items()} | behind


def hostile():
    certain = {}
    for name, value in (files() | scripts()).items():
        encoded, outcome = value if isinstance(value, tuple) else (value, UNDECODABLE)
        certain[name] = Hostile(encoded, outcome) if outcome else Hostile(encoded)
    return certain
