"""The command after an export: faster-whisper transcribes a recording with it."""

from pathlib import Path

from shared.command.cli import python_command

ANY_SOUND = "recording.wav"
"""Stands for a recording where none was named."""
_SCRIPT = (
    "import sys; from faster_whisper import WhisperModel; model = WhisperModel(sys.argv[1]); "
    "print(*(part.text for part in model.transcribe(sys.argv[2], language=sys.argv[3])[0]))"
)


def transcription_command(export: Path, sound: Path | None, language: str) -> list[str]:
    """Prints what *export* hears in *sound*, in *language*."""
    return [python_command(), "-c", _SCRIPT, str(export), str(sound or ANY_SOUND), language]
