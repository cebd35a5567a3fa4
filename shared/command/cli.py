"""The command line as the top layer of the settings, and one way for a command to end.

The parser is made from a settings class, so that an option, its help and its default are stated once.
"""

import argparse
import difflib
import os
import pwd
import shutil
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType, UnionType
from typing import Any, Literal, NoReturn, TypeVar, Union, get_args, get_origin

from dotenv import dotenv_values
from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import SettingsError

from shared.command.commands import load_commands
from shared.command.ending import ending_of, was_asked_for
from shared.command.settings import Folders, LayeredSettings, PageSettings
from shared.command.terminal import complain, say
from shared.errors import ExitCode, UsageError
from shared.units import format_bytes

S = TypeVar("S", bound=LayeredSettings)

INTERNAL_NAMES = {"TRAINER_LAUNCHER", "TRAINER_RENDEZVOUS"}
"""What a launcher tells its ranks: no settings."""
_LAYERS = (
    "Every option can also be set by an environment variable ({prefix}{example}=...; folders as BASE_DIR=...), in .env "
    "or in a TOML file (--config FILE); the first of these that sets it counts. Sizes are written 256MB or 2GiB."
)


def parse_settings(
    settings_class: type[S], argv: Sequence[str], *, prog: str, about: str, positional: str | None = None
) -> S:
    """Settings from *argv* over the environment, `.env`, the TOML file and the defaults.

    *positional* names a field that may also be given without its option. Exits with status 2 and argparse's usage on an
    unknown option; raises UsageError when a value does not fit.
    """
    parser = _parser(settings_class, prog, about, positional)
    given = {name: value for name, value in vars(parser.parse_args(argv)).items() if value is not None}
    if positional and "positional" in given:
        if positional in given:
            parser.error(f"{positional} was given twice, as --{positional} and without it")
        given[positional] = given.pop("positional")
    _refuse_unknown_names(settings_class)
    try:
        return settings_class(**given)
    except ValidationError as error:
        raise UsageError(_explain(error), f"{prog} --help tells what each option takes") from error
    except SettingsError as error:
        raise UsageError(f"cannot read the settings: {error}", "check the environment and .env") from error


def _refuse_unknown_names(settings_class: type[LayeredSettings]) -> None:
    """Raises UsageError for a name in the environment or `.env` that has our prefix and that no command knows."""
    prefix = settings_class.model_config["env_prefix"]
    said = {name.upper() for name in (*os.environ, *dotenv_values(".env")) if name.upper().startswith(prefix)}
    unknown = said - settings_class.environment_names() - INTERNAL_NAMES
    if unknown:
        # Other commands' names are known once their modules are, which can take a second.
        load_commands(prefix.lower().strip("_"))
        known = {name for kind in _kinds(LayeredSettings) for name in kind.environment_names()}
        for name in sorted(unknown - known):
            near = difflib.get_close_matches(name, known, 1)
            raise UsageError(
                f"no command knows {name}, which the environment or .env sets",
                f"{near[0]} is known; or unset it" if near else "unset it; --help tells the options",
            )


def _kinds(kind: type[LayeredSettings]) -> set[type[LayeredSettings]]:
    return {kind}.union(*map(_kinds, kind.__subclasses__()))


def run_command(command: Callable[[Sequence[str]], int], argv: Sequence[str] | None = None) -> int:
    """Runs *command* and turns its errors into one message on stderr and the documented exit code."""
    sys.excepthook = _tell_of_a_bug
    _name_the_user()
    try:
        return int(command(sys.argv[1:] if argv is None else argv))
    except BrokenPipeError:
        # The reader (`| head`) left; Python would print a traceback when it flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(ExitCode.FAILED)
    except (KeyboardInterrupt, Exception) as error:
        ending = ending_of(error)
        if ending is None:
            raise
        if was_asked_for(error):
            complain("; ".join(part for part in (ending.error, ending.remedy) if part))
        else:
            complain(f"error: {ending.error}", ending.remedy)
        return ending.exit_code


def _name_the_user() -> None:
    """Libraries ask for the user's name, and end where a container's user has but a number: that will do."""
    if any(map(os.environ.get, ("LOGNAME", "USER", "LNAME", "USERNAME"))):
        return
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        os.environ["LOGNAME"] = f"uid-{os.getuid()}"


def _tell_of_a_bug(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Python's own traceback; what it quotes may be a stranger's."""
    for line in "".join(traceback.format_exception(kind, error, trace)).splitlines():
        say(line, sys.stderr)


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose complaint about an option is as short as the settings' own."""

    def error(self, message: str) -> NoReturn:
        """Says what is wrong with the options, where help is, and exits with `USAGE`."""
        complain(f"error: {message}", f"{self.prog} --help tells what each option takes")
        self.exit(int(ExitCode.USAGE))


def _parser(settings_class: type[LayeredSettings], prog: str, about: str, positional: str | None) -> Parser:
    argument = f" [{positional.upper()}]" if positional else ""
    fields = settings_class.model_fields
    general = [name for name in fields if name in Folders.model_fields]
    pages = [name for name in fields if name in PageSettings.model_fields and name not in general]
    own = [name for name in fields if name not in general and name not in pages]
    prefix, example = settings_class.model_config.get("env_prefix", ""), own[0].upper() if own else "OPTION"
    layers = _LAYERS.format(prefix=prefix, example=example)
    parser = Parser(
        prog=prog,
        usage=f"%(prog)s [OPTION ...]{argument}",
        description=about,
        epilog=layers,
        allow_abbrev=False,
    )
    if positional:
        parser.add_argument("positional", nargs="?", metavar=positional.upper(), help=f"the same as --{positional}")
    for title, names in {"": own, "metrics and status page": pages, "configuration and folders": general}.items():
        group = parser.add_argument_group(title) if title and names else parser
        for name in names:
            _add_option(group, name, fields[name])
    return parser


def python_command() -> str:
    """How the user calls this Python: by name inside an activated environment, by its path from here outside."""
    if shutil.which("python") == sys.executable:
        return "python"
    return os.path.relpath(sys.executable) if Path.cwd() in Path(sys.executable).parents else sys.executable


def _add_option(parser: argparse._ActionsContainer, name: str, field: FieldInfo) -> None:
    # A field that would hide one of pydantic's own names ends in an underscore; its option does not.
    option = f"--{name.rstrip('_').replace('_', '-')}"
    kind = _plain_type(field.annotation)
    more: dict[str, Any] = {"dest": name, "default": None, "help": _help(name, field, kind)}
    if kind is bool:
        parser.add_argument(option, action=argparse.BooleanOptionalAction, **more)
    elif get_origin(kind) is Literal:
        parser.add_argument(option, choices=get_args(kind), **more)
    elif get_origin(kind) is tuple:
        metavar = "DIR" if Path in get_args(kind) else "NAME"
        parser.add_argument(option, action="append", metavar=metavar, **more)
    else:
        parser.add_argument(option, metavar=_metavar(name, kind, field.description or ""), **more)


def _plain_type(annotation: Any) -> Any:
    """The type without its `| None`."""
    if get_origin(annotation) in {Union, UnionType}:
        return next(arg for arg in get_args(annotation) if arg is not type(None))
    return annotation


def _metavar(name: str, kind: Any, text: str) -> str:
    if kind in {int, float}:
        return "SIZE" if _is_size(name) else "N" if kind is int else "X"
    is_folder = name.endswith(("dir", "store", "home", "cache")) or "folder" in text
    return "TEXT" if kind is not Path else "DIR" if is_folder else "FILE"


def _is_size(name: str) -> bool:
    return name.endswith(("shard_size", "budget", "reserve", "growth")) and name != "frame_budget"


def _help(name: str, field: FieldInfo, kind: Any) -> str:
    """The description with the default in brackets; a description that ends in brackets states its default itself."""
    text, default = field.description or "", field.default
    if text.endswith("]"):
        shown = ""
    elif kind is bool:
        shown = " [yes]" if default else " [no]"
    elif default is None or default == ():
        shown = " [none]"
    else:
        said = ", ".join(map(str, default)) if isinstance(default, tuple) else default
        shown = f" [{format_bytes(default)}]" if _is_size(name) else f" [{said}]"
    return f"{text}{shown}".replace("%", "%%")


def _explain(error: ValidationError) -> str:
    """One line for each wrong value, in the words of the command line."""
    lines = []
    for problem in error.errors():
        name = str(problem["loc"][0]).lower().replace("_", "-") if problem["loc"] else ""
        message = problem["msg"].removeprefix("Value error, ")
        lines.append(f"--{name} {problem['input']!r}: {message}" if name else message)
    return "; ".join(lines)
