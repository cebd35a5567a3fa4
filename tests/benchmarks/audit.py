"""Does `trainer.audit` find wrong transcripts? Plants some, audits, and prints precision and recall.

python tests/benchmarks/audit.py --model CHECKPOINT [--folder DIR] [--clips 800] [--steps 0]

Clips of the demo corpus, 5 % of them with a wrong transcript of three kinds: swapped with the neighbour's, cut in half,
and a sentence of another language. CHECKPOINT is first fine-tuned on clips of another seed, which are all right, for
`--steps` (0 for not at all). tests.support.pretrained makes checkpoints of faster-whisper models.
"""

import argparse
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from preprocess.demo.corpus import build_corpus
from tests.support.inline_run import run_inline
from tests.support.training import ROOT
from trainer.auditing.settings import AuditSettings
from trainer.auditing.table import ROWS

SHARE = 0.05
OTHER = (
    "The weather in the mountains will be cold and windy tomorrow.",
    "She has never been to the new library near the station.",
    "Please remember to send the letters before the end of the week.",
    "I would like a cup of tea and two slices of bread.",
    "Le train pour Lyon partira avec vingt minutes de retard.",
    "Nous avons acheté du pain et du fromage au marché.",
    "Elle ne savait pas que la réunion était déjà terminée.",
    "Il treno per Milano parte dal binario numero sette.",
    "Domani andiamo al mare con tutta la famiglia.",
    "El perro de mi vecino duerme todo el día en el jardín.",
    "Mañana compraremos fruta y verdura en el mercado.",
    "The museum was closed because of a burst water pipe.",
    "We are looking for someone who can repair old clocks.",
    "Questa mattina ho letto il giornale in cucina.",
)


def plant(texts: list[str], seed: int = 0) -> Iterator[tuple[int, str, str]]:
    """Row, kind and wrong transcript of `SHARE` of *texts*, the three kinds in turn; a swap makes two rows wrong."""
    rng, wanted = random.Random(seed), round(SHARE * len(texts))
    places = iter(rng.sample(range(0, len(texts) - 1, 2), wanted))
    count = 0
    while count < wanted:
        for kind in ("swapped", "cut", "other language"):
            row = next(places)
            words = texts[row].split()
            wrong = {
                "swapped": [(row, texts[row + 1]), (row + 1, texts[row])],
                "cut": [(row, " ".join(words[: len(words) // 2]))],
                "other language": [(row, OTHER[count % len(OTHER)])],
            }[kind]
            yield from ((number, kind, text) for number, text in wrong)
            count += len(wrong)


def dirty_corpus(corpus: Path, target: Path) -> dict[int, str]:
    """Writes the training clips of *corpus* with planted transcripts to *target*; the kinds by row."""
    table = pa.concat_tables([pq.read_table(path) for path in sorted((corpus / "data").glob("train-*"))])
    texts = table["transkription"].to_pylist()
    planted = list(plant(texts))
    for row, _, text in planted:
        texts[row] = text
    place = table.column_names.index("transkription")
    target.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table.set_column(place, "transkription", pa.array(texts)), target, row_group_size=50)
    return {row: kind for row, kind, _ in planted}


def prepare(source: Path, model: Path, store: Path) -> Path:
    """The store of *source*, made in this process; one that is there stays."""
    if not (store / "COMPLETE").exists():
        with pytest.MonkeyPatch.context() as patch:
            options = ("--source", source, "--store", store, "--model", model, "--split", "train")
            assert run_inline(patch, *options, "--force") == 0
    return store


def fine_tuned(model: Path, store: Path, output: Path, steps: int) -> Path:
    """*model* after *steps* steps of 24 clips of *store*."""
    options = ("--learning-rate", "2e-5", "--warmup-steps", "8", "--global-batch-size", "24", "--save-steps", "10")
    more = ("--full-context-share", "0", "--max-steps", str(steps), "--logging-steps", "5", "--report-to", "none")
    names = ("--store", store, "--model", model, "--output", output)
    subprocess.run([sys.executable, "-m", "trainer.train", *names, *options, *more], check=True, cwd=ROOT)
    return output / "best"


def report(rows: pa.Table, planted: dict[int, str]) -> Iterator[str]:
    """Lines of a Markdown table: what the first 1 % to 10 % of *rows*, worst first, hold of what was *planted*."""
    ranked = rows["row_id"].to_pylist()
    wrong = {row: kind for row, kind in planted.items() if row in set(ranked)}
    yield f"{len(ranked)} rows, {len(wrong)} of them wrong"
    kinds = sorted(set(wrong.values()))
    yield f"| looked at | precision | recall | {' | '.join(kinds)} |"
    yield "|---" * (3 + len(kinds)) + "|"
    for share in (0.01, 0.05, 0.1):
        found = [row for row in ranked[: round(share * len(ranked))] if row in wrong]
        looked = round(share * len(ranked))
        by_kind = [
            f"{sum(wrong[row] == kind for row in found)} of {sum(value == kind for value in wrong.values())}"
            for kind in kinds
        ]
        figures = f"{100 * len(found) / looked:.0f} % | {100 * len(found) / len(wrong):.0f} % of {len(wrong)}"
        yield f"| {share:.0%} ({looked}) | {figures} | {' | '.join(by_kind)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--folder", type=Path, default=Path("/tmp/audit-campaign"))
    parser.add_argument("--clips", type=int, default=800)
    parser.add_argument("--steps", type=int, default=0)
    parser.add_argument("--padding", default="own")
    parser.add_argument("--decode", action="store_true")
    parser.add_argument("--rows", type=int, help="a subset of the clips")
    options = parser.parse_args()
    folder, model = options.folder.resolve(), options.model.resolve()
    if options.steps:
        build_corpus(folder / "clean", train_clips=600, test_clips=0, seed=7)
        clean = prepare(folder / "clean", model, folder / "clean-store")
        model = fine_tuned(model, clean, folder / "model", options.steps)
    build_corpus(folder / "corpus", train_clips=options.clips, test_clips=0, seed=0)
    planted = dirty_corpus(folder / "corpus", folder / "dirty" / "train.parquet")
    dirty = prepare(folder / "dirty", model, folder / "dirty-store")
    from trainer.auditing.run import audit  # noqa: PLC0415 - torch, once the training has ended

    output = folder / "audit"
    chosen = {"padding": options.padding, "decode": options.decode, "rows": options.rows}
    audit(AuditSettings(store=dirty, model=str(model), output=output, _env_file=None, **chosen))
    print("\n".join(report(pq.read_table(output / ROWS), planted)))


if __name__ == "__main__":
    main()
