"""How the templates of reports, evaluations and model cards are opened. The one module that sets jinja2 up."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

Filters = Mapping[str, Callable[..., Any]]


def html_templates(folders: Sequence[Path], filters: Filters, shown: Callable[[str], str]) -> Environment:
    """The HTML templates in *folders*: text goes through *shown* and is escaped, markup of our own is left alone."""
    return _opened(folders, filters, autoescape=True, finalize=lambda value: _said(value, shown))


def markdown_templates(folders: Sequence[Path], filters: Filters) -> Environment:
    """The Markdown templates in *folders*. Nothing is escaped: text from outside has to go through a filter."""
    return _opened(folders, filters, autoescape=False, keep_trailing_newline=True)


def _opened(folders: Sequence[Path], filters: Filters, **options: Any) -> Environment:
    """A name that a template asks for and is not given raises `jinja2.UndefinedError`."""
    loader = FileSystemLoader(folders)
    environment = Environment(loader=loader, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, **options)  # noqa: S701 - both callers say whether to escape
    environment.filters |= filters
    return environment


def _said(value: Any, shown: Callable[[str], str]) -> Any:
    return shown(value) if isinstance(value, str) and not isinstance(value, Markup) else value
