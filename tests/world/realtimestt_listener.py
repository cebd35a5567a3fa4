"""Run by test_realtimestt.py beside the real RealtimeSTT: what its recorder makes of a sound file, as JSON.

python realtimestt_listener.py EXPORT SOUND OUTPUT
"""

import json
import sys
import threading
import time
from pathlib import Path


def main(export: str, sound: str, output: str) -> None:
    """Feeds *sound* as a microphone would, silence behind it, and writes the lanes' texts to *output*."""
    from RealtimeSTT import AudioToTextRecorder  # noqa: PLC0415 - its worker processes import this module

    realtime: list[str] = []
    recorder = AudioToTextRecorder(
        model=export,
        realtime_model_type=export,
        language="de",
        device="cpu",
        compute_type="float32",
        use_microphone=False,
        spinner=False,
        enable_realtime_transcription=True,
        on_realtime_transcription_update=realtime.append,
        final_transcription_word_timestamps=True,
        ensure_sentence_starting_uppercase=False,
        ensure_sentence_ends_with_period=False,
        no_log_file=True,
    )
    done = threading.Event()

    def feed() -> None:
        recorder.feed_audio(sound)
        while not done.is_set():
            recorder.feed_audio(b"\0" * 3_200)
            time.sleep(0.1)

    threading.Thread(target=feed, daemon=True).start()
    try:
        text = recorder.text()
    finally:
        done.set()
    audio = [float(value) for value in recorder.audio]
    found = {"text": text, "realtime": realtime, "seconds": len(audio) / 16_000, "audio": audio}
    Path(output).write_text(json.dumps(found), encoding="utf-8")
    recorder.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:4])
