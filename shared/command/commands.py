"""The commands by name: `speech-prep NAME …`, what `python -m preprocess` lists, and what to install for one.

Imports nothing but Python's own at the top, as it is what speaks when everything else is missing.
"""

import ast
import difflib
import importlib
import json
import os
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import metadata, util
from pathlib import Path
from types import TracebackType
from typing import Any

DISTRIBUTION = "whisper-speech-prep"
_ROOT = Path(__file__).resolve().parents[2]
_USAGE = 2
COMMANDS = {
    "inspect": "preprocess.inspect",
    "align": "preprocess.align",
    "plan": "preprocess.plan",
    "run": "preprocess.run",
    "verify": "preprocess.verify",
    "clean": "preprocess.clean",
    "demo": "preprocess.demo.__main__",
    "check": "trainer.check",
    "estimate": "trainer.estimate",
    "train": "trainer.train",
    "evaluate": "trainer.evaluate",
    "export": "trainer.export",
    "audit": "trainer.audit",
    "clean-output": "trainer.clean",
}
"""What a user types -> the module whose `main` takes the options, in the order of the work."""


def main(package: str = "") -> int:
    """`speech-prep` and, with *package*, `python -m PACKAGE`: lists the commands, or runs the one that is named."""
    program = f"python -m {package}" if package else "speech-prep"
    commands = {name: module for name, module in COMMANDS.items() if module.startswith(package)}
    name, *options = sys.argv[1:] or ["--help"]
    if name in {"-h", "--help"}:
        print(_overview(program, commands))
        return 0
    if name == "--version":
        print(f"{DISTRIBUTION} {metadata.version(DISTRIBUTION)}")
        return 0
    if name not in commands:
        near = difflib.get_close_matches(name, commands, 1)
        print(
            f"error: no command {name!r}\n  -> {f'{program} {near[0]}' if near else f'{program} --help'}",
            file=sys.stderr,
        )
        return _USAGE
    sys.argv[1:] = options
    return _run(commands[name])


def load_commands(package: str) -> None:
    """Imports every command of *package*, and with it what each can be told."""
    for module in COMMANDS.values():
        if module.startswith(f"{package}."):
            importlib.import_module(module)


def _run(module: str) -> int:
    try:
        cli: Any = importlib.import_module("shared.command.cli")
        command: Callable[[Sequence[str]], int] = importlib.import_module(module).main
    except ModuleNotFoundError as error:
        return _explain(error, module.partition(".")[0])
    code: int = cli.run_command(command)
    return code


def _overview(program: str, commands: Mapping[str, str]) -> str:
    """One line for each command, from what its module says of itself; none of them is imported."""
    width = max(map(len, commands))
    indent = " " * (width + 4)
    lines = [
        textwrap.fill(f"  {name:<{width}}  {_about(module)}", 80, subsequent_indent=indent)
        for name, module in commands.items()
    ]
    return "\n".join(
        [f"usage: {program} COMMAND [OPTION ...]", "", *lines, "", f"{program} COMMAND --help tells more."]
    )


def _about(module: str) -> str:
    """The first line of a module's docstring, which begins with how it is called, without that."""
    spec = util.find_spec(module)
    source = Path(str(spec.origin)).read_text(encoding="utf-8") if spec else ""
    line = (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]
    return line.partition("`: ")[2] or line


def explain_missing(package: str) -> None:
    """Where `python -m PACKAGE…` is being started: a library that is missing is told with the line that installs it."""
    if sys.argv[:1] == ["-m"]:
        sys.excepthook = partial(_say_what_is_missing, package)


def _say_what_is_missing(
    package: str, kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    if not isinstance(error, ModuleNotFoundError):
        sys.__excepthook__(kind, error, trace)
        return
    code = _explain(error, package)
    sys.stderr.flush()
    # Python ends with 1 after its hook.
    os._exit(code)


def _explain(error: ModuleNotFoundError, package: str) -> int:
    if str(error.name).partition(".")[0] in {"preprocess", "trainer", "shared"}:
        raise error
    print(f"error: {error.name} is not installed\n  -> {install_line(package)}", file=sys.stderr)
    return _USAGE


def install_line(extra: str) -> str:
    """The command that installs *extra* of this project as it is installed here."""
    return pip_line(extra, _direct_url(), _ROOT)


def pip_line(extra: str, direct_url: Mapping[str, Any] | None, root: Path) -> str:
    """The command that installs *extra* from where the project itself was installed.

    *direct_url* is pip's own record of that (PEP 610), None where it came from an index; *root* is where it lies.

    >>> pip_line("trainer", {"url": "file:///src", "dir_info": {"editable": True}}, Path("/src"))
    "pip install -e '/src[trainer]'"
    """
    if direct_url is None and not (root / "pyproject.toml").exists():
        return f"pip install '{DISTRIBUTION}[{extra}]'"
    if direct_url is None or direct_url.get("dir_info", {}).get("editable"):
        return f"pip install -e '{root}[{extra}]'"
    return f"pip install '{DISTRIBUTION}[{extra}] @ {direct_url['url']}'"


def _direct_url() -> dict[str, Any] | None:
    try:
        text = metadata.distribution(DISTRIBUTION).read_text("direct_url.json")
    except metadata.PackageNotFoundError:
        return None
    found: dict[str, Any] | None = json.loads(text) if text else None
    return found
