"""Where things lie in a store, what they are called, and the record that ties a store to its origin.

STORE/
  README.md, store.json, settings.json, COMPLETE
  data/train-00000-of-00431.parquet         immutable; a name that exists is committed and complete
  quarantine/train-00000-of-00431.parquet   rows of that unit that could not be used
  provenance/train-00000-of-00431.json      what that unit was made from, and with what
  index/train.parquet                       where each row's payload lies
  cuts/train.parquet                        where long recordings are cut, if they are; made before all else
  set-aside/                                bad files that a repair moved out of the way
  .partial/                                 the only place of unfinished bytes
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Self, get_args

from shared.errors import StoreError, StoreMismatchError
from shared.schema import FORMAT_VERSION, FORMAT_VERSIONS, FeatureDtype, FeatureSpec
from shared.system.foreign_files import read_json
from shared.system.read_errors import refuse_unreadable

SPLIT_NAME = re.compile(r"\w+(\.\w+)*")
"""Split names that file names and the `datasets` library can carry."""


@dataclass(frozen=True, slots=True)
class SplitRecord:
    """What a split's shards were planned from. *digest* covers everything that decides their bytes.

    *forecast_bytes* is what the plan expected of the finished split, kept so that a resumed run need not sample again.
    Unit k has the source rows from *row_bounds*[k] to *row_bounds*[k + 1] (exclusive); `()` in format version 1.
    """

    digest: str
    num_units: int
    num_rows: int
    rows_per_unit: int
    source_split: str
    source_fingerprint: str
    forecast_bytes: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)
    row_bounds: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class StoreRecord:
    """The content of `store.json`. *format_version* is the one that the store was begun in, and stays."""

    uuid: str
    features: FeatureSpec
    tokenizer: str
    language: str
    source: str
    splits: Mapping[str, SplitRecord] = field(default_factory=dict)
    format_version: int = FORMAT_VERSION

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        value = asdict(self) | {"features": self.features.as_dict()}
        if self.format_version == 1:
            for split in value["splits"].values():
                del split["row_bounds"]
        return value

    @classmethod
    def from_dict(cls, value: Mapping[str, Any], path: Path) -> Self:
        """From JSON. Raises StoreError for a later format version or a missing entry; *path* is for the message."""
        if not isinstance(value, Mapping):
            raise StoreError(f"{path} is damaged: it holds no record", "restore it from a backup of the store")
        version = value.get("format_version")
        if type(version) is not int or version not in FORMAT_VERSIONS:
            message = f"{path} has format version {version}, this software reads up to {FORMAT_VERSION}"
            raise StoreError(message, "install the version that wrote it, or prepare the data again in a new folder")
        try:
            features = FeatureSpec(value["features"]["num_mel_bins"], value["features"]["dtype"])
            splits = {name: _split_record(split) for name, split in value["splits"].items()}
            _require_sound(features, splits)
            names = ("uuid", "tokenizer", "language", "source", "format_version")
            return cls(features=features, splits=splits, **{name: value[name] for name in names})
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise StoreError(f"{path} is damaged: {error!r}", "restore it from a backup of the store") from error

    def admitting(self, name: str, split: SplitRecord) -> Self:
        """This record with *split* added. Raises StoreMismatchError when another plan has the name."""
        existing = self.splits.get(name)
        if existing is not None and existing.digest != split.digest:
            raise StoreMismatchError(
                f"split {name!r} of this store was planned otherwise: {_differences(existing, split)}",
                "use the settings and source of the first run, or another --store",
            )
        if self.format_version == 1:
            split = replace(split, row_bounds=())
        return replace(self, splits={**self.splits, name: existing or split})


def _split_record(value: Mapping[str, Any]) -> SplitRecord:
    return SplitRecord(**{**value, "row_bounds": tuple(value.get("row_bounds", ()))})


def _require_sound(features: FeatureSpec, splits: Mapping[str, SplitRecord]) -> None:
    """Raises ValueError for what arrays cannot be made by, or files be named by: the record may come from elsewhere."""
    if features.dtype not in get_args(FeatureDtype):
        raise ValueError(f"features of {features.dtype!r}")
    counts = {"num_mel_bins": (features.num_mel_bins, range(1, 1 << 16))}
    for name, split in splits.items():
        if not SPLIT_NAME.fullmatch(name):
            raise ValueError(f"a split called {name!r}")
        counts |= {f"num_units of {name!r}": (split.num_units, range(1 << 24))}
        counts |= {f"num_rows of {name!r}": (split.num_rows, range(1 << 40))}
    for name, (count, possible) in counts.items():
        if type(count) is not int or count not in possible:
            raise ValueError(f"{name} is {count!r}")


def _differences(existing: SplitRecord, wanted: SplitRecord) -> str:
    old, new = _flat(existing), _flat(wanted)
    changed = [
        f"{key} was {old.get(key)}, now {new.get(key)}" for key in {**old, **new} if old.get(key) != new.get(key)
    ]
    return "; ".join(changed) or "its digest differs"


def _flat(record: SplitRecord) -> dict[str, Any]:
    values = asdict(record)
    values.pop("digest")
    values.pop("forecast_bytes")
    values.pop("row_bounds")
    return {**values.pop("settings"), **values}


@dataclass(frozen=True, slots=True)
class StoreLayout:
    """Paths inside the store at *root*; nothing is touched."""

    root: Path

    @property
    def data(self) -> Path:
        """Committed shards."""
        return self.root / "data"

    @property
    def quarantine(self) -> Path:
        """Committed quarantine files."""
        return self.root / "quarantine"

    @property
    def index(self) -> Path:
        """Index files."""
        return self.root / "index"

    @property
    def partial(self) -> Path:
        """Unfinished bytes."""
        return self.root / ".partial"

    @property
    def provenance(self) -> Path:
        """What each unit was made from."""
        return self.root / "provenance"

    @property
    def cuts(self) -> Path:
        """Where long recordings are cut, by source split."""
        return self.root / "cuts"

    def cuts_of(self, source_split: str) -> Path:
        """The cuts of *source_split*; made once, never replaced."""
        return self.cuts / f"{source_split}.parquet"

    @property
    def set_aside(self) -> Path:
        """Bad files that a repair moved out of the way."""
        return self.root / "set-aside"

    @property
    def record(self) -> Path:
        """`store.json`."""
        return self.root / "store.json"

    @property
    def complete(self) -> Path:
        """`COMPLETE`, written last."""
        return self.root / "COMPLETE"

    def shard(self, split: str, unit: int, num_units: int) -> Path:
        """The shard of *unit* (0-based) of *num_units*."""
        return self.data / shard_name(split, unit, num_units)

    def quarantined(self, split: str, unit: int, num_units: int) -> Path:
        """The quarantine file of *unit*."""
        return self.quarantine / shard_name(split, unit, num_units)

    def provenance_of(self, split: str, unit: int, num_units: int) -> Path:
        """The record of what *unit* was made from."""
        return self.provenance / Path(shard_name(split, unit, num_units)).with_suffix(".json")

    def index_of(self, split: str) -> Path:
        """The index of *split*."""
        return self.index / f"{split}.parquet"

    def committed(self, split: str, num_units: int) -> set[int]:
        """Units of *split* whose shards exist. Raises StoreError for a shard of another plan."""
        if not self.data.is_dir():
            return set()
        units = set()
        for path in self.data.iterdir():
            match = re.fullmatch(r"(.+)-(\d{5,})-of-(\d{5,})\.parquet", path.name)
            if match is None or match[1] != split:
                continue
            if int(match[3]) != num_units or int(match[2]) >= num_units:
                raise StoreError(f"{path} belongs to another plan than that of {num_units} shards", "move it elsewhere")
            units.add(int(match[2]))
        return units


def shard_name(split: str, unit: int, num_units: int) -> str:
    """`train-00000-of-00431.parquet`."""
    return f"{split}-{unit:05d}-of-{num_units:05d}.parquet"


def read_record(layout: StoreLayout) -> StoreRecord:
    """The store's record. Raises StoreError when there is no store or it cannot be read."""
    try:
        value = read_json(layout.record)
    except FileNotFoundError as error:
        raise StoreError(f"{layout.root} is no store: it has no store.json", "check --store") from error
    except (OSError, ValueError) as error:
        refuse_unreadable(layout.record, error)
        raise StoreError(f"{layout.record} cannot be read: {error}", "restore it from a backup") from error
    return StoreRecord.from_dict(value, layout.record)
