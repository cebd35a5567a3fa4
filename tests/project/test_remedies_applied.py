"""Remedies that name an option are done: what failed, typed again as its own message says, works."""

import ast
import importlib
import re
import shlex

import pytest

from shared.command.cli import run_command
from shared.command.commands import COMMANDS
from tests.project.test_remedies import OPTION, PACKAGES, ROOT, strings
from tests.support.remedy_desk import lay_out

UNTRIED = 50
"""Of 104 remedies with an option, those that no case below applies: lower it with each new case.

Those of a training or an export need models, GPUs or the Hub, those of a run its store and Ray. Some have tests of
their own that do what they say, which this count does not see; nor does it see remedies that a variable holds.
"""
ANY = "…"
"""Stands in a remedy below for figures and names of this machine."""
_PLAN = "plan --source liste.csv --store neu --model modell"
_ALIGN = "align --source liste.csv --store neu --model ct2"
_HEARD = "evaluate --hypotheses gehört.csv --reference-column reference --hypothesis-column a"
CASES = [
    # How a data set is read.
    ("name the one that reads correctly, such as --encoding cp850", "inspect fremd.csv", "--encoding cp850"),
    (
        "name the encoding that it has with --encoding, such as cp1252 or utf-16",
        "inspect fremd.csv --encoding utf-8",
        "inspect fremd.csv --encoding cp850",
    ),
    (
        "--encoding takes utf-8, utf-16, cp1252 …",
        "inspect liste.csv --encoding quatsch",
        "inspect liste.csv --encoding utf-8",
    ),
    (
        f"--separator takes {ANY} or one letter",
        "inspect liste.csv --separator quatsch",
        "inspect liste.csv --separator ,",
    ),
    (
        "pass --text-column text or --text-column sentence; or --separator, if the cells are wrong",
        "inspect zwei.csv",
        "--text-column sentence",
    ),
    (
        "write seconds into a column 'start', or pass --offset-column none for whole files",
        "inspect proben.csv",
        "--offset-column none",
    ),
    ("--row takes 0 to 0", "inspect liste.csv --row 7", "inspect liste.csv --row 0"),
    (
        "put the clips there, or name the folder that they lie in with --audio-root",
        "inspect liste/liste.csv",
        "--audio-root ton",
    ),
    ("pass --follow-links to read what links lead to", "inspect link", "--follow-links"),
    ("pass --split with one of: train", "inspect liste.csv --split dev", "inspect liste.csv --split train"),
    (
        "leave --source-column out, and every row carries the data set's name, or name one of the columns above",
        "inspect train.parquet --source-column quelle",
        "inspect train.parquet",
    ),
    ("leave --config-name out", "inspect liste.csv --config-name de", "inspect liste.csv"),
    ("choose one: --config-name de", "inspect karte", "--config-name de"),
    (
        "name one of them with --source, or write what you want into one file",
        "inspect beide",
        "inspect beide/erste.csv",
    ),
    # What was not named, or wrongly.
    (
        "python -m preprocess.inspect SOURCE, or python -m preprocess.inspect --store STORE",
        "inspect",
        "--store features",
    ),
    ("python -m preprocess.verify --store STORE", "verify", "--store features"),
    ("python -m preprocess.clean --store STORE", "clean", "--store features"),
    ("check --store", "verify --store nirgends", "verify --store features"),
    ("name the --output of a training", "clean-output nirgends", "clean-output training"),
    (
        "--free-store names a feature store",
        "clean-output training --free-store nirgends",
        "clean-output training --free-store features --dry-run",
    ),
    ("python -m trainer.fetch --help tells what each option takes", "fetch --in-flight 0", "fetch --help"),
    ("check --config", "inspect liste.csv --config nirgends.toml", "inspect liste.csv --config known.toml"),
    ("see --help for the names", "inspect liste.csv --config unknown.toml", "inspect --help"),
    # Plans.
    (
        "give --source, or --demo for the built-in speech",
        "plan --store neu --model modell",
        "--source liste.csv",
    ),
    ("give --model, or --num-mel-bins and --tokenizer", "plan --source liste.csv --store neu", "--model modell"),
    ("leave --num-mel-bins out", f"{_PLAN} --num-mel-bins 128", _PLAN),
    ("check --model", "plan --source liste.csv --store neu --model kein-modell", _PLAN),
    (
        "--long-audio keep stores it whole; or leave one of the two out",
        f"{_PLAN} --long-audio quarantine --max-duration 40",
        f"{_PLAN} --long-audio keep --max-duration 40",
    ),
    (
        "raise --max-duration to the longest clip that is to be kept, or leave it out",
        f"{_PLAN} --long-audio keep --max-duration 20",
        f"{_PLAN} --long-audio keep --max-duration 40",
    ),
    (f"give --disk-budget {ANY}; --force starts it all the same", f"{_PLAN} --disk-budget 1kB", "--force"),
    (f"free {ANY}, name a larger disk with --store{ANY}; --force starts it", f"{_PLAN} --disk-reserve 9PB", "--force"),
    (
        "name it with --split, give --test-fraction, or leave --drop-test-leaks out",
        f"{_PLAN} --drop-test-leaks",
        _PLAN,
    ),
    (
        "use the settings of the first run, or another --store",
        "plan --source liste.csv --store features --model modell --feature-dtype uint8",
        _PLAN,
    ),
    # Cuts of long recordings.
    ("python -m preprocess.align --source … --store … --model …", "align", _ALIGN.removeprefix("align ")),
    (
        "use the settings of then, or another --store",
        _ALIGN,
        f"{_ALIGN} --max-duration 29",
        "align --source liste.csv --store neuer --model ct2 --max-duration 29",
    ),
    (
        "use source and settings of preprocess.align, or make cuts in a new --store",
        _ALIGN,
        f"{_PLAN} --long-audio split --strip-timestamps",
        f"{_PLAN} --long-audio split",
    ),
    (
        "name a new or empty folder with --store",
        "align --source liste.csv --store fremd --model ct2",
        _ALIGN,
    ),
    # Stores from elsewhere, transcripts of others.
    ("python -m trainer.fetch --store s3://bucket/prefix --to DIR", "fetch", "--store features --to kopie"),
    ("name another --to", "fetch --store features --to features", "fetch --store features --to kopie"),
    (
        "check --store, or finish it with the command that made it",
        "fetch --store unfertig --to kopie",
        "fetch --store features --to kopie",
    ),
    (
        "free space, name another --to, or change --disk-budget or --disk-reserve",
        "fetch --store features --to kopie --disk-budget 1kB",
        "fetch --store features --to kopie --disk-budget 1MB",
    ),
    ("name each --model, or --hypothesis-column, once", f"{_HEARD} --hypothesis-column a", _HEARD),
    ("check --baseline", f"{_HEARD} --baseline b", f"{_HEARD} --baseline a"),
    ("name another --output", f"{_HEARD} --output training", f"{_HEARD} --output neu"),
    # Exports.
    (
        "--checkpoint names a model's folder, such as OUTPUT/best",
        "export --checkpoint nirgends --output aus --gate-rows 0",
        "export --checkpoint modell --output aus --gate-rows 0",
    ),
    (
        "--store STORE names one to check the export on; --gate-rows 0 checks only the files",
        "export --checkpoint modell --output aus",
        "--gate-rows 0",
    ),
    (
        "--language names one by its code: de, en, fr",
        "export --checkpoint modell --output aus --gate-rows 0 --language deutsch",
        "export --checkpoint modell --output aus --gate-rows 0 --language de",
    ),
    (
        "name another --output, or remove it",
        "export --checkpoint modell --output fremd --gate-rows 0",
        "export --checkpoint modell --output aus --gate-rows 0",
    ),
]
"""A remedy as it is printed, what works before, what fails, and what works then (options alone are added)."""


def typed(command):
    """The exit status of *command*, the name of one of ours and its options."""
    name, *options = shlex.split(command)
    try:
        return run_command(importlib.import_module(COMMANDS[name]).main, options)
    except SystemExit as end:  # --help
        return end.code


@pytest.mark.usefixtures("quick_plans")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_what_the_remedy_says_is_the_way_out(case, tmp_path, demo_model, capsys, monkeypatch):
    lay_out(tmp_path, demo_model)
    monkeypatch.chdir(tmp_path)
    remedy, *before, wrong, right = case
    assert [typed(command) for command in before] == [0] * len(before)
    capsys.readouterr()
    assert typed(wrong) in {1, 2, 3}
    said = " ".join("".join(capsys.readouterr()).partition("-> ")[2].partition("\n\n")[0].split())
    assert re.fullmatch(pattern(remedy, ANY), said), said
    added = right.startswith("--")
    assert typed(f"{wrong} {right}" if added else right) == 0


def pattern(words, gap):
    """A regular expression for *words* in which *gap* stands for anything."""
    return ".*".join(map(re.escape, words.split(gap)))


def remedies():
    """Where, and what, of each remedy of an error, and of each constant called a remedy, that names an option."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("Error") and len(node.args) > 1:
                    for _, text in strings(node.args[1]):
                        if OPTION.search(text):
                            yield f"{path.relative_to(ROOT)}:{node.lineno}", text


def test_remedies_that_nothing_applies_become_fewer():
    tried = [remedy for remedy, *_ in CASES]
    left = [where for where, text in remedies() if not any(re.fullmatch(pattern(text, "VALUE"), one) for one in tried)]
    assert len(left) <= UNTRIED, left
