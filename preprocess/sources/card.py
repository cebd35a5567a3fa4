"""The YAML at the top of a data set's card (README.md), read in the driver: a stranger wrote it.

A few hundred bytes of YAML can stand for more than any machine holds (aliases of aliases). What a card may cost is
bounded before anything is made of it.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]  # its stubs are not among the pinned packages

from shared.errors import SourceError
from shared.units import format_bytes

MAX_BYTES = 1_000_000
MAX_DEPTH = 50
MAX_VALUES = 100_000
"""Values of a card, those that aliases stand for counted each time."""
MAX_PATTERN = 1_000
"""Characters of a pattern."""
MAX_ANY_FOLDERS = 3
"""`**` in a pattern that is given to `datasets`."""
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_REMEDY = "repair the README.md, or name the Parquet files with a glob"


def front_matter(readme: Path) -> Mapping[str, Any]:
    """What the YAML at the top of *readme* says; {} where there is none.

    Raises:
        SourceError: it is damaged, or larger, deeper or more intricate than a card is.
    """
    with readme.open("rb") as file:
        text = file.read(MAX_BYTES + 1).decode("utf-8", "replace")
    return parse_front_matter(text, str(readme))


def plain_yaml(path: Path) -> Mapping[str, Any]:
    """What the YAML file *path* says; {} where it is no mapping. Raises as `front_matter`."""
    with path.open("rb") as file:
        text = file.read(MAX_BYTES + 1).decode("utf-8", "replace")
    if len(text) >= MAX_BYTES:
        raise _refused(str(path), f"it has more than {format_bytes(MAX_BYTES)}")
    return _parse(text, str(path))


def parse_front_matter(text: str, name: str) -> Mapping[str, Any]:
    """As `front_matter`, from the card's *text* (its beginning is enough); messages call it *name*."""
    lines = text.splitlines()
    if not lines or lines[0].strip() != "---":
        return {}
    if "---" not in lines[1:]:
        if len(text) >= MAX_BYTES:
            raise _refused(name, f"it has more than {format_bytes(MAX_BYTES)}")
        return {}
    return _parse("\n".join(lines[1 : lines.index("---", 1)]), name)


def _parse(block: str, name: str) -> Mapping[str, Any]:
    try:
        _check(block)
        content = yaml.load(block, _LOADER)  # noqa: S506 - one of the two safe loaders
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, RecursionError) as error:
        # Values such as 2024-99-99 meet Python's own objections.
        raise _refused(name, str(error)) from error
    return content if isinstance(content, dict) else {}


def check_patterns(configs: Any, name: str) -> None:
    """Passes where no pattern in *configs* is long, or has several `**`, which cost each other's square.

    Raises:
        SourceError: one has; the message calls the card *name*.
    """
    for text in _texts(configs):
        if len(text) > MAX_PATTERN or text.count("**") > MAX_ANY_FOLDERS:
            raise SourceError(f"{name} names {text[:80]!r}, a pattern that is too complicated", _REMEDY)


def _texts(value: Any) -> Iterator[str]:
    """All strings in *value*, which is as deep and large as `front_matter` lets it be."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from (text for item in value.values() for text in _texts(item))
    elif isinstance(value, list):
        yield from (text for item in value for text in _texts(item))


def _refused(name: str, why: str) -> SourceError:
    return SourceError(f"the YAML at the top of {name} cannot be read: {why}", _REMEDY)


def _check(block: str) -> None:
    """Raises ValueError where *block* is too deep, or stands for too many values; YAMLError where it is damaged.

    Each event is a step of the parser, which does not call itself: no depth is too deep to be found.
    """
    sizes: dict[str, int] = {}
    # One entry for each open list or mapping: its anchor, and the values before it.
    inside: list[tuple[str | None, int]] = []
    total = 0
    for event in yaml.parse(block, _LOADER):
        if isinstance(event, yaml.AliasEvent):
            # An alias of what is open still would stand for itself, without end.
            total += sizes.get(event.anchor, MAX_VALUES)
        elif isinstance(event, yaml.CollectionStartEvent):
            inside.append((event.anchor, total))
            total += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = inside.pop()
            sizes |= {anchor: total - before} if anchor else {}
        elif isinstance(event, yaml.ScalarEvent):
            total += 1
            sizes |= {event.anchor: 1} if event.anchor else {}
        if len(inside) > MAX_DEPTH:
            raise ValueError(f"it is nested more than {MAX_DEPTH} deep")
        if total > MAX_VALUES:
            raise ValueError(f"it stands for more than {MAX_VALUES} values")
