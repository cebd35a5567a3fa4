"""Typed settings, and the layers that they come from.

In rising order: defaults, a TOML file (`--config`), `.env`, the environment, the command line. An environment name is
the option in capitals with the prefix `PREPROCESS_` (`PREPROCESS_ACTORS=3`); the folders that users already have
(`BASE_DIR`, `CACHE_DIR`, `HF_HOME` …) keep their own names.
"""

import os
import tomllib
from pathlib import Path
from typing import Any

from pydantic import AliasChoices, Field, field_validator
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from shared.errors import UsageError
from shared.system.home import expand_home


def _read_toml(path: Path, settings_class: type[BaseSettings]) -> dict[str, Any]:
    """The settings in a TOML file; raises UsageError for an unreadable file or an unknown name."""
    try:
        values = {name.replace("-", "_").lower(): value for name, value in tomllib.loads(path.read_text()).items()}
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read settings from {path}: {error}", "check --config") from error
    unknown = sorted(set(values) - set(settings_class.model_fields) | set(values) & {"config"})
    if unknown:
        raise UsageError(f"{path} names unknown settings: {', '.join(unknown)}", "see --help for the names")
    return values


def _folder(name: str, help_text: str) -> Any:
    return Field(None, validation_alias=AliasChoices(name.lower(), name), description=help_text)


class LayeredSettings(BaseSettings):
    """Settings with the project's layers; frozen once made."""

    model_config = SettingsConfigDict(
        env_prefix="PREPROCESS_",
        env_file=".env",
        extra="ignore",
        frozen=True,
        env_ignore_empty=True,
        # Lists are written `train,test`, which the fields' own validators read; JSON is for programs.
        enable_decoding=False,
    )

    config: Path | None = Field(None, description="TOML file with settings")

    @classmethod
    def environment_names(cls) -> set[str]:
        """The names by which the environment and `.env` may set an option."""
        prefix = cls.model_config["env_prefix"]
        return {
            f"{prefix}{name}".upper() if field.validation_alias is None else name.upper()
            for name, field in cls.model_fields.items()
        }

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is pydantic-settings' own
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Command line over environment over `.env` over the TOML file over defaults."""
        command_line = init_settings()
        config = command_line.get("config") or env_settings().get("config") or dotenv_settings().get("config")
        toml = InitSettingsSource(settings_cls, _read_toml(expand_home(config), settings_cls) if config else {})
        return init_settings, env_settings, dotenv_settings, toml


class PageSettings(LayeredSettings):
    """Where a service tells of itself while it works; it says its own port."""

    metrics: bool = Field(default=True, description="serve metrics and a status page (--no-metrics: do not)")
    metrics_host: str = Field(
        "127.0.0.1", description="address that serves metrics and status page; on a public one others can see them"
    )
    metrics_port: int = Field(9108, ge=0, le=65535, description="their port; 0: any that is free")
    metrics_allow_host: tuple[str, ...] = Field(
        (), description="further host name to serve the status page under; repeatable"
    )
    metrics_file: Path | None = Field(None, description="file for the last metrics, for node_exporter [none]")
    metrics_linger: float = Field(0.0, ge=0, description="seconds to serve on after the end, for a last scrape")

    @field_validator("metrics_allow_host", mode="before")
    @classmethod
    def _parse_hosts(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value

    @property
    def metrics_names(self) -> frozenset[str]:
        """Names that the status page may be asked for by."""
        return frozenset({self.metrics_host, *self.metrics_allow_host})


class Folders(LayeredSettings):
    """The folders that users of the German data set already have."""

    base_dir: Path | None = _folder("BASE_DIR", "folder that all others lie in [working directory]")
    cache_dir: Path | None = _folder("CACHE_DIR", "datasets/, huggingface/, audio/, features/ [BASE_DIR/cache]")
    model_dir: Path | None = _folder("MODEL_DIR", "models and checkpoints [BASE_DIR/models]")
    log_dir: Path | None = _folder("LOG_DIR", "logs [BASE_DIR/logs]")
    config_dir: Path | None = _folder("CONFIG_DIR", "configuration files [BASE_DIR/config]")
    hf_home: Path | None = _folder("HF_HOME", "Hugging Face's own folder [CACHE_DIR/huggingface]")
    hf_datasets_cache: Path | None = _folder("HF_DATASETS_CACHE", "cache of `datasets` [CACHE_DIR/datasets]")

    @field_validator("*", mode="after")
    @classmethod
    def _expand_home(cls, value: Any) -> Any:
        """Home folders in place of `~`."""
        return expand_home(value) if isinstance(value, Path) else value

    @property
    def base(self) -> Path:
        """`BASE_DIR`, or the working directory."""
        return (self.base_dir or Path()).absolute()

    @property
    def cache(self) -> Path:
        """`CACHE_DIR`, or `cache` in the base folder."""
        return (self.cache_dir or self.base / "cache").absolute()

    @property
    def logs(self) -> Path:
        """`LOG_DIR`, or `logs` in the base folder."""
        return (self.log_dir or self.base / "logs").absolute()

    def prepare(self) -> None:
        """Makes the folders that the user named (all, once `BASE_DIR` is named) and tells Hugging Face of its own.

        Raises UsageError where one cannot be made.
        """
        hugging_face = self._hugging_face_folders()
        try:
            for folder in {*self._named_folders(), *hugging_face.values()}:
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"cannot make {error.filename}: {error.strerror}", "name a writable BASE_DIR") from error
        os.environ |= {name: str(folder) for name, folder in hugging_face.items()}

    def _hugging_face_folders(self) -> dict[str, Path]:
        """HF_HOME and HF_DATASETS_CACHE as far as they were named, by themselves or by a folder around them."""
        around = bool(self.base_dir or self.cache_dir)
        home = self.hf_home or (self.cache / "huggingface" if around else None)
        datasets = self.hf_datasets_cache or (self.cache / "datasets" if around else None)
        named = {"HF_HOME": home, "HF_DATASETS_CACHE": datasets}
        return {name: folder.absolute() for name, folder in named.items() if folder}

    def _named_folders(self) -> list[Path]:
        folders = [folder for folder in (self.model_dir, self.log_dir, self.config_dir) if folder]
        if self.base_dir:
            folders += [self.model_dir or self.base / "models", self.logs, self.config_dir or self.base / "config"]
        if self.base_dir or self.cache_dir:
            folders += [self.cache / name for name in ("datasets", "huggingface", "audio", "features")]
        return folders
