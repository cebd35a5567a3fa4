"""What a unit was made from, and with what: kept beside the store's shards, so that these stay the same to the byte.

It decides nothing: a run warns by it (`planning.origins`), `verify --source` compares by it.
"""

import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Self

import soundfile
import xxhash

import preprocess.audio
import shared
from preprocess.sources.base import SourceFile, SourceRow
from shared.errors import StoreError
from shared.system.durable import json_bytes

LIBRARIES = ("numpy", "numba", "soundfile", "soxr", "av", "tokenizers", "pyarrow")
"""What may show in a shard's bytes."""


@dataclass(slots=True)
class ReadChecksum:
    """Covers all that was read of a unit's rows, in order: ids, audio, texts, names. Against accident, not malice."""

    _hash: Any = field(default_factory=xxhash.xxh3_128)

    def add(self, row: SourceRow) -> None:
        """Takes *row* in."""
        size = None if row.audio is None else len(row.audio)
        told = (row.row_id, row.path, row.transkription, row.source, row.problem, size)
        self._hash.update(repr(told).encode("utf-8", "backslashreplace"))
        self._hash.update(row.audio or b"")

    @property
    def text(self) -> str:
        """32 hexadecimal digits."""
        return str(self._hash.hexdigest())


@dataclass(frozen=True, slots=True)
class Software:
    """With what rows were turned into features: a digest of our own code that decides their bytes, and versions."""

    feature_code: str
    versions: Mapping[str, str]

    def differences(self, now: "Software") -> list[str]:
        """What is otherwise *now*, in words; a library that no longer counts is no difference."""
        old, new = (
            {"feature code": self.feature_code, **self.versions},
            {"feature code": now.feature_code, **now.versions},
        )
        return [f"{name} {old.get(name)}, now {value}" for name, value in new.items() if old.get(name) != value]


@dataclass(frozen=True, slots=True)
class Provenance:
    """One unit's: *checksum* of what was read, the *files* that it was read from, the *software*.

    *cancelled* are the ids of rows whose channels cancelled each other when they were mixed.
    """

    checksum: str
    files: Sequence[SourceFile]
    software: Software
    cancelled: Sequence[int] = ()

    def content(self) -> bytes:
        """As JSON."""
        files = [[file.name, file.num_bytes, file.mtime_ns] for file in self.files]
        software = {"feature_code": self.software.feature_code, "versions": dict(self.software.versions)}
        told = {"source": {"checksum": self.checksum, "files": files}, "software": software}
        return json_bytes(told | ({"cancelled": list(self.cancelled)} if self.cancelled else {}))

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """From the file at *path*, None where there is none. Raises StoreError where it is damaged."""
        try:
            value = json.loads(path.read_bytes())
            source, software = value["source"], value["software"]
            files = tuple(SourceFile(*file) for file in source["files"])
            known = Software(software["feature_code"], dict(software["versions"]))
            return cls(source["checksum"], files, known, tuple(map(int, value.get("cancelled", ()))))
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(f"{path} is damaged: {error!r}", "remove it: only what it told is lost") from error


@cache
def this_software() -> Software:
    """That of this process, and what one fixed clip becomes on this machine."""
    from preprocess.features.log_mel import fixed_clip_digest  # noqa: PLC0415 - numba: a third of a second

    versions = {name: importlib.metadata.version(name) for name in LIBRARIES}
    found = {"python": platform.python_version(), "libsndfile": soundfile.__libsndfile_version__}
    found["log-mel of a fixed clip"] = fixed_clip_digest()
    return Software(code_digest(_feature_code()), found | versions)


def code_digest(files: Iterable[Path]) -> str:
    """16 digits for the text of *files*, named by what they are called."""
    digest = hashlib.blake2b(digest_size=8)
    for path in files:
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _feature_code() -> list[Path]:
    """Our modules that decide what a row becomes."""
    features, audio, store = (Path(str(file)).parent for file in (__file__, preprocess.audio.__file__, shared.__file__))
    ours = ("kernel", "log_mel", "mel", "pieces", "pipeline", "spectrum", "transcript")
    names = [*(features / f"{name}.py" for name in ours), features.parent / "compiled.py"]
    return [*names, *sorted(audio.rglob("*.py")), *(store / f"{name}.py" for name in ("schema", "shard", "text"))]
