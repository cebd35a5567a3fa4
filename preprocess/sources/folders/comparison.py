"""What an audio folder's metadata name against what is on the disk, counted in both directions before anything is done.

A million names are compared as Arrow columns; only those that differ are looked at one by one.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import pyarrow as pa
import pyarrow.compute as pc

from preprocess.sources.base import Access
from preprocess.sources.confine import leads_outside, resolve_inside
from preprocess.sources.patterns import walk
from shared.errors import RowRejectedError
from shared.units import format_count, format_counted

AUDIO_SUFFIXES = frozenset(
    {
        *("wav", "wave", "flac", "mp3", "ogg", "oga", "opus", "m4a", "m4b", "aac", "mp4", "mka", "mkv", "webm", "weba"),
        *("aif", "aiff", "aifc", "au", "snd", "caf", "w64", "rf64", "amr", "ac3", "eac3", "wv", "ape", "tta", "spx"),
        *("wma", "mpc", "mp2", "ts", "3gp", "3g2", "mov", "avi", "asf", "flv", "voc", "nist", "sph"),
    }
)
"""Names of files that are taken for audio, as far as any are only counted."""
_LISTED = 3


@dataclass(frozen=True, slots=True)
class Notes(Sequence[str]):
    """What *look* says, which is asked when somebody reads it: to look at a million files takes seconds."""

    look: Callable[[], Sequence[str]]

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...
    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        return self.look()[index]

    def __iter__(self) -> Iterator[str]:
        return iter(self.look())

    def __len__(self) -> int:
        return len(self.look())


def compared(tables: Sequence[pa.Table], root: Path, folders: Sequence[str], access: Access) -> list[str]:
    """What differs between the rows of *tables* (of clips) and the audio files in the *folders* of *root*.

    A sentence each, with the first examples; lines that cannot be read are counted too.
    """
    rows = pa.concat_tables(tables)
    problems = rows.column("problem").filter(pc.not_equal(rows.column("problem"), ""))
    named = _spelled(rows.column("file").filter(pc.equal(rows.column("problem"), "")))
    here = _spelled(pa.chunked_array([pa.array(_audio_files(root, folders, access), pa.string())]))
    lost = _known(named.filter(pc.invert(pc.is_in(named, value_set=here.combine_chunks()))))
    elsewhere, missing, outside = _looked_for(os.path.realpath(root), lost, access)
    known = pa.chunked_array([*named.chunks, pa.array(elsewhere, pa.string())], pa.string()).combine_chunks()
    unnamed = here.filter(pc.invert(pc.is_in(here, value_set=known))).to_pylist()
    return [
        *_note("metadata that cannot be read, to be quarantined", "line", problems.to_pylist()),
        *_note("files that are not there, to be quarantined", "row", missing),
        *_note("files that may not be read, to be quarantined", "row", outside),
        *_note(f"in {root}, named by no row of metadata", "audio file", unnamed),
    ]


def _audio_files(root: Path, folders: Sequence[str], access: Access) -> Iterator[str]:
    """The audio files that may be read; of a link that may not be followed its row says so."""
    begins = tuple(f"{folder}/" for folder in folders)
    real_root = os.path.realpath(root)
    for name in walk(root, links=access.follow_links):
        if name.rpartition(".")[2].lower() in AUDIO_SUFFIXES and ("" in folders or name.startswith(begins)):
            path = f"{root}/{name}"
            if not os.path.islink(path) or not leads_outside(real_root, path, access):  # noqa: PTH114 - a million
                yield name


def _spelled(names: pa.ChunkedArray) -> pa.ChunkedArray:
    """*names* in one of Unicode's spellings."""
    return pc.utf8_normalize(names, form="NFC")


def _known(names: pa.ChunkedArray) -> list[str]:
    found: list[str] = names.to_pylist()
    return found


def _looked_for(real_root: str, names: Sequence[str], access: Access) -> tuple[list[str], list[str], list[str]]:
    """Of *names* those that are there, spelled otherwise, those that are not, and why others are refused."""
    elsewhere, missing, outside = [], [], []
    for name in names:
        try:
            real = resolve_inside(real_root, name, access)
        except RowRejectedError as error:
            outside.append(error.message)
            continue
        if os.path.isfile(real):  # noqa: PTH113 - a string from realpath
            elsewhere += [os.path.relpath(real, real_root), os.path.normpath(name)]
        else:
            missing.append(name)
    return elsewhere, missing, outside


def _note(what: str, noun: str, names: Sequence[str]) -> list[str]:
    shown = ", ".join(names[:_LISTED])
    more = f" and {format_count(len(names) - _LISTED)} more" if len(names) > _LISTED else ""
    return [f"{what}: {format_counted(len(names), noun)} ({shown}{more})"] if names else []
