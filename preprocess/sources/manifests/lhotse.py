"""lhotse's manifests without lhotse: cuts, or recordings with supervisions, as JSON lines, packed or not.

A row is a supervision: its words, its own time of the recording, its channel. What is not plainly in a file is refused
by name: mixed and padded cuts, recordings that are changed as they are read, and sources that are no files.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from preprocess.sources.base import Access, Columns
from preprocess.sources.confine import refuse_link_out
from preprocess.sources.manifests.entries import Entry, refuse_mostly_bad, seconds_of
from preprocess.sources.manifests.json_lines import Item, read_items
from preprocess.sources.manifests.places import placed
from preprocess.sources.manifests.understood import Understood, by_split, split_of_name
from shared.errors import SourceError
from shared.units import format_counted

_CUT, _SUPERVISION, _RECORDING = "cuts", "supervisions", "recordings"
_SIGNS = {
    _CUT: {"start", "duration", "supervisions"},
    _SUPERVISION: {"recording_id", "start", "duration"},
    _RECORDING: {"sources", "sampling_rate", "num_samples"},
}
_SHOWN = 80
_OUTSIDE = Fraction(1, 1000)
"""Seconds that a supervision may lie outside its cut: lhotse rounds."""
_REMEDY = "make the cuts plain: cuts.trim_to_supervisions(), save_audios(DIR), to_file(…); and name that file"


def lhotse_part(items: Sequence[Item]) -> str:
    """What of lhotse's *items* are, '' where they are none of its."""
    first = next((item.value for item in items if not item.problem), {})
    if str(first.get("type", "")).endswith("Cut"):
        return _CUT
    return next((part for part, signs in _SIGNS.items() if signs <= set(first)), "")


def read_lhotse(found: Mapping[Path, Sequence[Item]], root: Path, columns: Columns, access: Access) -> Understood:
    """All that the files *found* say, of which `lhotse_part` knows each; each makes the split that its name tells.

    Cuts are used where there are any; supervisions with the recordings of the file that is called alike. Raises
    SourceError where those are missing, or most rows cannot be used.
    """
    parts = {path: lhotse_part(items) for path, items in found.items()}
    used = [path for path, part in parts.items() if part == (_CUT if _CUT in parts.values() else _SUPERVISION)]
    if not used:
        message = f"{root} has lhotse's recordings and neither supervisions nor cuts, so their transcripts are unknown"
        raise SourceError(message, "name the file of the supervisions or of the cuts")
    splits, notes = [], []
    for path in used:
        entries = list(_cuts(path, found[path]) if parts[path] == _CUT else _pairs(path, found[path], columns, access))
        refuse_mostly_bad(path, entries, _REMEDY)
        entries, where = placed([replace(entry, source=root.resolve().name) for entry in entries], str(root), access)
        splits.append((split_of_name(path.name.replace(".jsonl", "").replace(".gz", "")), entries))
        notes.append(
            f"{path.name}: lhotse {parts[path]}, "
            f"{format_counted(len(entries), 'supervision')}{', ' + where if where else ''}"
        )
    return Understood(str(root), by_split(splits, f"lhotse's files in {root}"), tuple(notes))


def _cuts(path: Path, items: Sequence[Item]) -> Iterator[Entry]:
    for item in items:
        cut, where = item.value, f"{path.name}, line {item.line}"
        if item.problem or cut.get("type", "MonoCut") != "MonoCut" or not isinstance(cut.get("recording"), dict):
            why = item.problem or f"a {cut.get('type')}, or a cut without its recording, which is no part of one file"
            yield Entry(str(cut.get("id", "")), "", problem=f"{where}: {why}")
            continue
        spoken = cut.get("supervisions") or [{}]
        for supervision in spoken if isinstance(spoken, list) else [spoken]:
            yield _entry(where, cut["recording"], supervision, cut)


def _pairs(path: Path, items: Sequence[Item], columns: Columns, access: Access) -> Iterator[Entry]:
    recordings: dict[str, dict[str, Any]] = {}
    refuse_link_out(str(path.parent), str(_beside(path)), access)
    for item in read_items(_beside(path), columns):
        name = str(item.value.get("id"))
        if recordings.setdefault(name, item.value) != item.value:
            message = f"{_beside(path)}, line {item.line}: recording {name!r} a second time, and not as before"
            raise SourceError(message, "give each recording an id of its own")
    for item in items:
        recording = recordings.get(str(item.value.get("recording_id")), {})
        where = f"{path.name}, line {item.line}"
        if item.problem or not recording:
            why = item.problem or f"recording {item.value.get('recording_id')!r} is not in {_beside(path).name}"
            yield Entry("", "", problem=f"{where}: {why}")
        else:
            yield _entry(where, recording, item.value, {})


def _beside(path: Path) -> Path:
    """The recordings of the supervisions in *path*, by lhotse's own names: `supervisions` becomes `recordings`."""
    found = path.with_name(path.name.replace(_SUPERVISION, _RECORDING))
    if found == path or not found.is_file():
        message = f"{path} has supervisions, but {found.name}, which names their files, is not beside it"
        raise SourceError(message, "put the recordings' manifest there under that name, or name a file of cuts")
    return found


def _entry(where: str, recording: Mapping[str, Any], supervision: Mapping[str, Any], cut: Mapping[str, Any]) -> Entry:
    """One supervision, whose times are the cut's own where there is a *cut*, else the recording's."""
    try:
        name = _file(recording)
        begin = _seconds(cut.get("start", 0))
        start, duration = _seconds(supervision.get("start", 0)), supervision.get("duration", cut.get("duration"))
        stop = start + _seconds(duration)
        _check_inside(start, stop, cut)
        channel = _channel(recording, supervision, cut)
        whole = begin + start <= 0 and stop + begin >= _seconds(recording.get("duration", 1_000_000)) - _OUTSIDE
        text = _text(supervision.get("text") or "")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return Entry(str(recording.get("id", "")), "", problem=f"{where}: {_words(error)}")
    times = ("", "") if whole else (str(max(begin + start, Fraction(0))), str(begin + stop))
    return Entry(name, text, "", *times, channel)


def _check_inside(start: Fraction, stop: Fraction, cut: Mapping[str, Any]) -> None:
    if cut and (start < -_OUTSIDE or stop > _seconds(cut["duration"]) + _OUTSIDE):
        raise ValueError("a supervision that goes on outside its cut")


def _file(recording: Mapping[str, Any]) -> str:
    if recording.get("transforms"):
        raise ValueError(f"recording {recording.get('id')!r} is changed as it is read (transforms)")
    sources = recording["sources"]
    if len(sources) != 1 or sources[0].get("type") != "file":
        kinds = ", ".join(str(source.get("type")) for source in sources)
        raise ValueError(f"recording {recording.get('id')!r} is in no file of its own ({kinds or 'none'})")
    return str(sources[0]["source"])


def _channel(recording: Mapping[str, Any], supervision: Mapping[str, Any], cut: Mapping[str, Any]) -> str:
    """The one channel that is meant, as the file counts them; '' where the file has no other."""
    channels = recording["sources"][0].get("channels") or recording.get("channel_ids") or [0]
    wanted = supervision.get("channel", cut.get("channel", 0))
    wanted = wanted if isinstance(wanted, list) else [wanted]
    if sorted(wanted) == sorted(channels):
        return ""
    if len(wanted) != 1 or wanted[0] not in channels:
        raise ValueError(f"channels {json.dumps(wanted)} of a recording that has {json.dumps(channels)}")
    return str(channels.index(wanted[0]))


def _seconds(value: Any) -> Fraction:
    """A number as it is written, exactly: 0.1 is a tenth."""
    found = None if isinstance(value, bool) else seconds_of(value)
    if found is None:
        raise ValueError(f"{value!r} is no time in seconds")
    return found


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"'text' is no text: {value!r}")
    return value


def _words(error: Exception) -> str:
    return f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)[:_SHOWN]
