"""Remedies that name an option are done: what failed, with the option that its own message names, works."""

import ast
import re

import pytest

from preprocess.inspect import main as inspect
from shared.command.cli import run_command
from tests.project.test_remedies import OPTION, PACKAGES, ROOT, strings
from tests.support.recordings import record

UNTRIED = 86
"""Of 104 remedies with an option, those whose option no case below applies: lower it with each new case.

Those of a training or an export need models, GPUs or the Hub, those of a run its store and Ray. Some have tests of
their own that do what they say, which this count does not see; nor does it see remedies that a variable holds.
"""
TEXT = "Der Bär läuft über die Straße."


def table(folder, text, name="liste.csv", encoding="utf-8"):
    record(folder / "a.wav")
    (folder / name).write_bytes(text.encode(encoding))
    return folder / name


def two_transcripts(folder):
    return table(folder, f"file_name,text,sentence\na.wav,{TEXT},{TEXT} Ja.\n")


def another_name(folder):
    return table(folder, f"file_name,Wortlaut\na.wav,{TEXT}\n")


def clips_elsewhere(folder):
    (folder / "liste").mkdir()
    (folder / "ton").mkdir()
    record(folder / "ton" / "a.wav")
    (folder / "liste" / "liste.csv").write_text(f"file_name,text\na.wav,{TEXT}\n")
    return folder / "liste" / "liste.csv"


def linked(folder):
    data, real = folder / "data", folder / "real"
    data.mkdir()
    real.mkdir()
    record(data / "a.wav")
    (real / "metadata.csv").write_text(f"file_name,transkription\na.wav,{TEXT}\n")
    (data / "metadata.csv").symlink_to(real / "metadata.csv")
    return data


def no_such_split(folder):
    return table(folder, f"file_name,text\na.wav,{TEXT}\n")


def strange_bytes(folder):
    return table(folder, f"file_name,text\n{f'a.wav,{TEXT}{chr(10)}' * 4}", encoding="cp850")


def starts_in_samples(folder):
    return table(folder, f"file_name,text,start_sample\na.wav,{TEXT},0\n")


CASES = {
    "letters in a rare encoding": (strange_bytes, [], "--encoding", "cp850"),
    "parts that begin at a sample": (starts_in_samples, [], "--offset-column", "none"),
    "a row that is none": (no_such_split, ["--row", "7"], "--row", "0"),
    "two columns that could be it": (two_transcripts, [], "--text-column", "text"),
    "a column under another name": (another_name, [], "--text-column", "Wortlaut"),
    "clips elsewhere": (clips_elsewhere, [], "--audio-root", "{folder}/ton"),
    "metadata behind a link": (linked, [], "--follow-links", ""),
    "a split that is none": (no_such_split, ["--split", "dev"], "--split", "train"),
}


@pytest.mark.parametrize("case", CASES)
def test_the_option_that_the_remedy_names_is_the_way_out(case, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make, options, named, value = CASES[case]
    command = [str(make(tmp_path)), *options]
    assert run_command(inspect, command) == 2
    assert named in "".join(capsys.readouterr())
    if named in command:
        command = command[: command.index(named)]
    assert run_command(inspect, [*command, named, *([value.format(folder=tmp_path)] if value else [])]) == 0


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
    tried = {named for _, _, named, _ in CASES.values()}
    left = [where for where, text in remedies() if not tried & set(re.findall(OPTION, text))]
    assert len(left) <= UNTRIED, left
