"""Which split a file belongs to, from its name alone: the rules of `datasets`, pure.

`datasets` asks in this order, and the first rule that knows any file decides for all: `data/SPLIT-00000-of-00001…`,
a keyword in a folder's name, a keyword in the file's name; else all files are `train`. Files that the deciding rule
does not know are left out, as `datasets` leaves them out.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import PurePosixPath

from shared.errors import SourceError

_KEYWORDS: Mapping[str, Sequence[str]] = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "dev", "val"),
    "test": ("test", "testing", "eval", "evaluation"),
}
_SHARDED = re.compile(r"^(?:data/)?(?P<split>\w+(?:\.\w+)*)-\d{5}-of-\d{5}[^/]*\.[^/]*$")
_WORD_ENDS = re.compile(r"[-._ 0-9]+")


def infer_splits(names: Iterable[str]) -> dict[str, list[str]]:
    """Files *names* (relative to the data set, with '/') by split, sorted; train, validation and test come first.

    Raises:
        SourceError: a name has the keywords of two splits.
    """
    ordered = sorted(names)
    rules: tuple[Callable[[str], str | None], ...] = (_split_of_shard, split_of_folder, _split_of_file)
    for rule in rules:
        found: dict[str, list[str]] = {}
        for name in ordered:
            split = rule(name)
            if split is not None:
                found.setdefault(split, []).append(name)
        if found:
            return {split: found[split] for split in ordered_splits(sorted(found))}
    return {"train": ordered} if ordered else {}


def ordered_splits(names: Sequence[str]) -> list[str]:
    """*names* with train, validation and test first, as `datasets` orders them, and the rest as they came."""
    known = [name for name in ("train", "validation", "test") if name in names]
    return known + [name for name in names if name not in known]


def split_of_folder(name: str) -> str | None:
    """The split that the folders of file *name* tell, None where they tell none.

    Raises:
        SourceError: they tell two.
    """
    return _split_of_words(PurePosixPath(name).parent.parts, name)


def split_of_name(name: str) -> str | None:
    """The split that the file's own *name* tells, None where it tells none, or two."""
    try:
        return _split_of_file(name)
    except SourceError:
        return None


def _split_of_file(name: str) -> str | None:
    return _split_of_words((PurePosixPath(name).name,), name)


def _split_of_shard(name: str) -> str | None:
    match = _SHARDED.match(name)
    return match["split"] if match else None


def _split_of_words(parts: Sequence[str], name: str) -> str | None:
    words = {word for part in parts for word in _WORD_ENDS.split(part)}
    found = [split for split, keywords in _KEYWORDS.items() if words & set(keywords)]
    if len(found) > 1:
        raise SourceError(
            f"{name} could be of split {' or '.join(found)} by its name",
            "say which in the README.md's YAML (configs: data_files), or give the files clearer names",
        )
    return found[0] if found else None
