"""A folder with all that the cases of tests/project/test_remedies_applied.py name: data sets, a store, a training."""

import shutil
from pathlib import Path

from tests.support.long_speech import write_stub_model
from tests.support.recordings import record
from tests.support.samples import wav, write_source

STORE = Path(__file__).parents[1] / "fixtures" / "store-v2"
TEXT = "Der Bär läuft über die Straße."
TABLES = {
    "liste.csv": f"file_name,text\na.wav,{TEXT}\n",
    "zwei.csv": f"file_name,text,sentence\na.wav,{TEXT},{TEXT} Ja.\n",
    "proben.csv": f"file_name,text,start_sample\na.wav,{TEXT},0\n",
    "liste/liste.csv": f"file_name,text\nb.wav,{TEXT}\n",
    "beide/erste.csv": f"file_name,text\na.wav,{TEXT}\n",
    "beide/zweite.csv": f"file_name,text\na.wav,{TEXT}\n",
    "real/metadata.csv": f"file_name,transkription\na.wav,{TEXT}\n",
    "karte/README.md": "---\nconfigs: [{config_name: de, data_dir: de}, {config_name: nl, data_dir: nl}]\n---\n",
    "fremd/readme.txt": "no store",
    "unknown.toml": "audios = 1\n",
    "known.toml": "row = 0\n",
    "kein-modell/config.json": '{"model_type": "whisper"}',
    "training/metrics.json": '{"steps": []}',
    "gehört.csv": "reference,a\nja,ja\n",
}


def lay_out(folder: Path, model: Path) -> None:
    """Fills *folder*; `modell` in it is *model*."""
    for name, text in TABLES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "fremd.csv").write_bytes(f"file_name,text\n{f'a.wav,{TEXT}{chr(10)}' * 4}".encode("cp850"))
    for name in ("a.wav", "beide/a.wav", "link/a.wav", "ton/b.wav"):
        record(folder / name)
    (folder / "link/metadata.csv").symlink_to(folder / "real/metadata.csv")
    rows = [(wav(8_000, seed=seed), f"{seed}.wav", TEXT) for seed in range(2)]
    for name in ("train.parquet", "karte/de/train.parquet", "karte/nl/train.parquet"):
        write_source(folder / name, rows)
    shutil.copytree(STORE, folder / "features")
    shutil.copytree(STORE, folder / "unfertig")
    (folder / "unfertig/COMPLETE").unlink()
    write_stub_model(folder / "ct2")
    (folder / "modell").symlink_to(model)
