"""An export in a process of its own: CTranslate2 may end the process that it runs in, and the gate has to say so."""

import multiprocessing
import signal
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from shared.errors import SpeechPrepError
from shared.system.signal_names import signal_name
from trainer.gate.exported import load_export
from trainer.gate.realtimestt import RealtimeSTTModel

FAULTS = (RuntimeError, ValueError, TypeError, LookupError, OSError)
"""What CTranslate2 and faster-whisper raise of a model that is wrong."""
_WAIT_SECONDS = 10.0
# A fork would have torch's threads, and its GPU.
_context = multiprocessing.get_context("spawn")


class ExportApart:
    """The methods of `RealtimeSTTModel` of the export in *folder*, by `call`; *computed* is the type that it runs in.

    A context manager. Raises RuntimeError where the process ends, with the signal that ended it, and what the export
    raises: RuntimeError, ValueError or TypeError where it cannot be loaded, or cannot transcribe.
    """

    def __init__(self, folder: Path, language: str, *, device: str, threads: int, max_length: int) -> None:
        self._connection, other = _context.Pipe()
        arguments = (other, folder, language, {"device": device, "threads": threads}, max_length)
        self._process = _context.Process(target=_serve, args=arguments, daemon=True, name=f"export {folder.name}")
        self._process.start()
        other.close()
        try:
            self.computed = str(self._answer())
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def call(self, name: str, *arguments: Any) -> Any:
        """What the model's method *name* returns."""
        try:
            self._connection.send((name, arguments))
        except (BrokenPipeError, ConnectionResetError):
            raise self._ended() from None
        return self._answer()

    def close(self) -> None:
        """Ends the process; a second call does nothing."""
        self._connection.close()
        self._process.join(_WAIT_SECONDS)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def _answer(self) -> Any:
        try:
            answer = self._connection.recv()
        except (EOFError, ConnectionResetError):
            raise self._ended() from None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _ended(self) -> RuntimeError:
        self._process.join(_WAIT_SECONDS)
        code = self._process.exitcode
        how = signal_name(-code) if code is not None and code < 0 else f"status {code}"
        return RuntimeError(f"faster-whisper ended with {how}")


def _serve(connection: Connection, folder: Path, language: str, where: dict[str, Any], max_length: int) -> None:
    """The process's whole life: it ends when nobody asks any more."""
    # Ctrl-C is for the gate, which then closes this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        export = load_export(folder, **where)
        # faster-whisper asks every model for 448 places; one that has fewer cannot be asked beyond them.
        export.max_length = max_length
        model = RealtimeSTTModel(export, language)
        connection.send(str(export.model.compute_type))
        while True:
            name, arguments = connection.recv()
            try:
                connection.send(getattr(model, name)(*arguments))
            except (*FAULTS, SpeechPrepError) as error:
                connection.send(error)
    except (EOFError, BrokenPipeError):
        return
    except FAULTS as error:
        connection.send(error)
