"""The report of a check: all that was seen, to paste into a bug, and nothing of who saw it. Pure but for `gather`."""

import math
import os
import platform
import re
import sys
from collections.abc import Mapping
from dataclasses import asdict
from getpass import getuser
from importlib import metadata
from pathlib import Path
from typing import Any

from trainer.checking.scope import scope_of
from trainer.checking.world import World

_PACKAGES = (
    "whisper-speech-prep", "torch", "transformers", "bitsandbytes", "ctranslate2", "faster-whisper", "nvidia-ml-py",
    "nvidia-cublas-cu12", "nvidia-nccl-cu12", "nvidia-nccl-cu13", "numpy", "pyarrow",
)  # fmt: skip
_TELLING = re.compile(r"(?:CUDA|NCCL|PYTORCH|GLOO|OMP)_\w+")
_SECRET_NAME = re.compile(r"TOKEN|KEY|SECRET|PASSW|CREDENTIAL", re.IGNORECASE)
_SECRETS = re.compile(r"\b(?:hf_\w{8,}|gh[a-z]_\w{8,}|sk-[\w-]{8,}|[0-9a-f]{40})\b|(?<=://)[^/\s@]+@")
_HIDDEN = "***"
_LEAST_SECRET = 4
"""Characters of a name or secret that is looked for in other words: a shorter one is in many."""


def report(
    world: World, *, packages: Mapping[str, str], environment: Mapping[str, str], seconds: float
) -> dict[str, Any]:
    """All of *world* as plain values."""
    return {
        "lines": [f"{verdict.state} {name}: {verdict.words}" for name, verdict in world.verdicts.items()],
        "remedies": {name: verdict.remedy for name, verdict in world.verdicts.items() if verdict.remedy},
        "machine": asdict(world.machine),
        "scope": asdict(scope_of(world)),
        "seconds": round(seconds, 1),
        "packages": dict(packages),
        "environment": {name: value for name, value in sorted(environment.items()) if _TELLING.fullmatch(name)},
        "probes": {name: _told(outcome) for name, outcome in world.outcomes.items()},
    }


def redacted(value: Any, names: Mapping[str, str], secrets: set[str]) -> Any:
    """*value* with what is in *names* called otherwise, the longest first, and without *secrets* and tokens.

    Numbers stay numbers; NaN and infinity are words.
    """
    if isinstance(value, Mapping):
        return {name: redacted(inner, names, secrets) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [redacted(inner, names, secrets) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        # JSON has no such number.
        return str(value)
    if not isinstance(value, str):
        return value
    for secret in sorted(secrets, key=len, reverse=True):
        value = value.replace(secret, _HIDDEN)
    for name in sorted(names, key=len, reverse=True):
        value = re.sub(rf"(?<![\w.]){re.escape(name)}(?![\w])", names[name], value)
    return _SECRETS.sub(_HIDDEN, value)


def gather(world: World, folder: Path, seconds: float) -> dict[str, Any]:
    """The report of *world* on this machine, whose files of the check were in *folder*."""
    found = report(world, packages=_versions(), environment=os.environ, seconds=seconds)
    return dict(redacted(found, _private_names(folder), _secrets(os.environ)))


def _told(outcome: Any) -> dict[str, Any]:
    value = {name: getattr(outcome, name) for name in ("trouble", "remedy", "said")}
    facts = asdict(outcome.facts) if outcome.facts is not None else None
    return {"seconds": round(outcome.seconds, 1), "facts": facts} | {
        name: text.splitlines() if name == "said" else text for name, text in value.items() if text
    }


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "system": f"{platform.system()} {platform.release()}"}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "-"
    return found


def _private_names(folder: Path) -> dict[str, str]:
    """What would tell who and where this is, and what stands in its place."""
    root = Path(__file__).parents[2]
    places = {folder: "CHECK", Path.cwd(): ".", Path.home(): "~", Path(sys.prefix): "VENV", root: "PROJECT"}
    names = {str(each): short for place, short in places.items() for each in {place, place.resolve()}}
    people = {platform.node(): "HOST", _user(): "USER"}
    names |= {name: short for name, short in people.items() if len(name) >= _LEAST_SECRET}
    return {name: short for name, short in names.items() if name not in {"", "/", "root"}}


def _user() -> str:
    try:
        return getuser()
    except (KeyError, OSError):
        return ""


def _secrets(environment: Mapping[str, str]) -> set[str]:
    return {
        value for name, value in environment.items() if _SECRET_NAME.search(name) and len(value) >= 2 * _LEAST_SECRET
    }
