"""The command line as the top layer of the settings, and one way for a command to end.

The parser is made from a settings class, so that an option, its help and its default are stated once.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import SettingsError

from shared.errors import ExitCode, SpeechPrepError, UsageError
from shared.settings import LayeredSettings

S = TypeVar("S", bound=LayeredSettings)


def parse_settings(
    settings_class: type[S], argv: Sequence[str], *, prog: str, about: str, positional: str | None = None
) -> S:
    """Settings from *argv* over the environment, `.env`, the TOML file and the defaults.

    *positional* names a field that may also be given without its option. Exits with status 2 and argparse's usage on an
    unknown option; raises UsageError when a value does not fit.
    """
    parser = argparse.ArgumentParser(prog=prog, description=about, allow_abbrev=False)
    for name, field in settings_class.model_fields.items():
        _add_option(parser, name, field)
    if positional:
        parser.add_argument("positional", nargs="?", metavar=positional.upper(), help=f"the same as --{positional}")
    given = {name: value for name, value in vars(parser.parse_args(argv)).items() if value is not None}
    if positional and "positional" in given:
        given.setdefault(positional, given.pop("positional"))
    try:
        return settings_class(**given)
    except ValidationError as error:
        raise UsageError(_explain(error), f"{prog} --help tells what each option takes") from error
    except SettingsError as error:
        raise UsageError(f"cannot read the settings: {error}", "check the environment and .env") from error


def run_command(command: Callable[[Sequence[str]], int], argv: Sequence[str] | None = None) -> int:
    """Runs *command* and turns its errors into one message on stderr and the documented exit code."""
    try:
        return int(command(sys.argv[1:] if argv is None else argv))
    except SpeechPrepError as error:
        print(f"error: {error}", file=sys.stderr)
        return int(error.exit_code)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on where it stopped", file=sys.stderr)
        return int(ExitCode.INTERRUPTED)
    except BrokenPipeError:
        # The reader (`| head`) left; Python would print a traceback when it flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(ExitCode.FAILED)


def _add_option(parser: argparse.ArgumentParser, name: str, field: FieldInfo) -> None:
    option = f"--{name.replace('_', '-')}"
    text = _help(field)
    kind = _plain_type(field.annotation)
    if kind is bool:
        parser.add_argument(option, action=argparse.BooleanOptionalAction, default=None, help=text)
    elif get_origin(kind) is Literal:
        parser.add_argument(option, choices=get_args(kind), default=None, help=text)
    elif get_origin(kind) is tuple:
        parser.add_argument(option, action="append", default=None, metavar="NAME", help=text)
    else:
        parser.add_argument(option, default=None, metavar=_metavar(name, kind), help=text)


def _plain_type(annotation: Any) -> Any:
    """The type without its `| None`."""
    if get_origin(annotation) in {Union, UnionType}:
        return next(arg for arg in get_args(annotation) if arg is not type(None))
    return annotation


def _metavar(name: str, kind: Any) -> str:
    if kind in {int, float}:
        return "SIZE" if name.endswith(("size", "budget", "reserve")) else "N" if kind is int else "X"
    return "DIR" if name.endswith(("dir", "store", "home", "cache")) else "FILE" if name == "config" else "TEXT"


def _help(field: FieldInfo) -> str:
    default = "" if field.default in {None, (), False} else f" [{field.default}]"
    return f"{field.description or ''}{default}".replace("%", "%%")


def _explain(error: ValidationError) -> str:
    """One line for each wrong value, in the words of the command line."""
    lines = []
    for problem in error.errors():
        name = str(problem["loc"][0]).lower().replace("_", "-") if problem["loc"] else ""
        message = problem["msg"].removeprefix("Value error, ")
        lines.append(f"--{name} {problem['input']!r}: {message}" if name else message)
    return "; ".join(lines)
