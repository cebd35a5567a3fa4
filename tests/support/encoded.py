"""Short valid clips of every format that the service may meet; the same bytes in every process."""

import io
import struct

import av
import numpy as np
import soundfile

from preprocess.demo.ogg import with_serial

OGG_SERIAL = 7


def patched(encoded, offset, layout, *values):
    """*encoded* with *values* in the `struct` *layout* from byte *offset* on."""
    data = bytearray(encoded)
    struct.pack_into(layout, data, offset, *values)
    return bytes(data)


def after(encoded, word, skip=0):
    """The offset *skip* bytes behind the first *word* in *encoded*; an error where there is none."""
    return encoded.index(word) + len(word) + skip


def tone(seconds, sampling_rate, channels=1):
    phase = np.arange(int(seconds * sampling_rate))[:, None] * (0.05 + 0.01 * np.arange(channels))
    return np.squeeze((0.3 * np.sin(phase)).astype(np.float32))


def encode(samples, sampling_rate, container, subtype=None):
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, sampling_rate, format=container, subtype=subtype)
    return timeless(buffer.getvalue(), container)


def timeless(encoded, container):
    """*encoded* without what libsndfile takes from the clock or draws at random."""
    if container == "OGG":
        return with_serial(encoded, OGG_SERIAL)
    if container == "MAT5":
        return patched(encoded, 48, "76s", b" " * 76)
    return patched(encoded, after(encoded, b"PEAK", 8), "<I", 0) if b"PEAK" in encoded[:1_000] else encoded


def encode_av(container, codec, bit_rate=None, **options):
    buffer = io.BytesIO()
    # Without `bitexact` the muxer draws random track numbers.
    with av.open(buffer, "w", format=container, options={"fflags": "+bitexact", **options}) as out:
        stream = out.add_stream(codec, rate=48_000)
        stream.layout = "mono"
        if bit_rate:
            stream.bit_rate = bit_rate
        frame = av.AudioFrame.from_ndarray(tone(0.6, 48_000)[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 48_000, 0
        for converted in av.AudioResampler(format=stream.format.name, layout="mono").resample(frame):
            out.mux(stream.encode(converted))
        out.mux(stream.encode(None))
    return buffer.getvalue()


VALID = {
    "wav": encode(tone(0.6, 16_000), 16_000, "WAV", "PCM_16"),
    "wav of floats": encode(tone(0.3, 48_000, 2), 48_000, "WAV", "FLOAT"),
    "wav of mu-law": encode(tone(0.6, 8_000), 8_000, "WAV", "ULAW"),
    "flac": encode(tone(0.6, 16_000), 16_000, "FLAC"),
    "flac of 6 channels": encode(tone(0.2, 44_100, 6), 44_100, "FLAC"),
    "mp3": encode(tone(0.6, 48_000), 48_000, "MP3"),
    "mp3 in stereo": encode(tone(0.6, 22_050, 2), 22_050, "MP3"),
    "ogg vorbis": encode(tone(0.6, 44_100, 2), 44_100, "OGG", "VORBIS"),
    "opus": encode(tone(0.6, 16_000), 16_000, "OGG", "OPUS"),
    "m4a": encode_av("mp4", "aac"),
    "alac": encode_av("mp4", "alac"),
    "aac": encode_av("adts", "aac"),
    "webm": encode_av("webm", "libopus"),
}
"""What people store speech in."""

_RARE = {
    "aiff": ("AIFF", "PCM_16"),
    "au": ("AU", "PCM_16"),
    "au of g721": ("AU", "G721_32"),
    "avr": ("AVR", "PCM_16"),
    "caf": ("CAF", "PCM_16"),
    "caf of alac": ("CAF", "ALAC_16"),
    "htk": ("HTK", "PCM_16"),
    "ircam": ("IRCAM", "PCM_16"),
    "mat4": ("MAT4", "PCM_16"),
    "mat5": ("MAT5", "PCM_16"),
    "mpc2k": ("MPC2K", "PCM_16"),
    "nist": ("NIST", "PCM_16"),
    "paf": ("PAF", "PCM_24"),
    "pvf": ("PVF", "PCM_16"),
    "rf64": ("RF64", "PCM_16"),
    "sds": ("SDS", "PCM_16"),
    "svx": ("SVX", "PCM_16"),
    "voc": ("VOC", "PCM_16"),
    "w64": ("W64", "PCM_16"),
    "wavex": ("WAVEX", "PCM_16"),
    "wav of 24 bits": ("WAV", "PCM_24"),
    "wav of doubles": ("WAV", "DOUBLE"),
    "wav of a-law": ("WAV", "ALAW"),
    "wav of ms adpcm": ("WAV", "MS_ADPCM"),
    "wav of ima adpcm": ("WAV", "IMA_ADPCM"),
    "wav of gsm": ("WAV", "GSM610"),
    "wav of nms adpcm": ("WAV", "NMS_ADPCM_32"),
    "wve": ("WVE", "ALAW"),
    "xi": ("XI", "DPCM_16"),
}

RARE = {name: encode(tone(0.4, 8_000), 8_000, *kind) for name, kind in _RARE.items()} | {
    "mp2": encode_av("mp2", "mp2"),
    "fragmented m4a": encode_av("mp4", "aac", movflags="frag_keyframe+empty_moov"),
    "mkv of flac": encode_av("matroska", "flac"),
    "mkv of pcm": encode_av("matroska", "pcm_s16le"),
    "mov of pcm": encode_av("mov", "pcm_s16le"),
    "wavpack": encode_av("wv", "wavpack"),
    "true audio": encode_av("tta", "tta"),
    "ac3": encode_av("ac3", "ac3"),
    "eac3": encode_av("eac3", "eac3"),
    "windows media": encode_av("asf", "wmav2", 64_000),
    "mpeg-ts": encode_av("mpegts", "mp2"),
    "mpeg-ps": encode_av("mpeg", "mp2"),
    "flv": encode_av("flv", "aac"),
    "avi": encode_av("avi", "pcm_s16le"),
    "ogg flac": encode_av("ogg", "flac"),
    "latm": encode_av("latm", "aac"),
}
"""What libsndfile and FFmpeg read as well, so that a hostile row can be one of them."""
