"""Typed settings, and the layers that they come from.

In rising order: defaults, a TOML file (`--config`), `.env`, the environment, the command line. An environment name is
the option in capitals with the prefix `PREPROCESS_` (`PREPROCESS_ACTORS=3`); the folders that users already have
(`BASE_DIR`, `CACHE_DIR`, `HF_HOME` …) keep their own names.
"""

import os
import tomllib
from pathlib import Path
from typing import Any

from pydantic import AliasChoices, Field
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from shared.errors import UsageError


def _read_toml(path: Path, settings_class: type[BaseSettings]) -> dict[str, Any]:
    """The settings in a TOML file; raises UsageError for an unreadable file or an unknown name."""
    try:
        values = {name.replace("-", "_").lower(): value for name, value in tomllib.loads(path.read_text()).items()}
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read settings from {path}: {error}", "check --config") from error
    unknown = sorted(set(values) - set(settings_class.model_fields))
    if unknown:
        raise UsageError(f"{path} names unknown settings: {', '.join(unknown)}", "see --help for the names")
    return values


def _folder(name: str, help_text: str) -> Any:
    return Field(None, validation_alias=AliasChoices(name.lower(), name), description=help_text)


class LayeredSettings(BaseSettings):
    """Settings with the project's layers; frozen once made."""

    model_config = SettingsConfigDict(
        env_prefix="PREPROCESS_", env_file=".env", extra="ignore", frozen=True, env_ignore_empty=True
    )

    config: Path | None = Field(None, description="TOML file with settings; option names with underscores")

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
        toml = InitSettingsSource(settings_cls, _read_toml(Path(config), settings_cls) if config else {})
        return init_settings, env_settings, dotenv_settings, toml


class Folders(LayeredSettings):
    """The folders that users of the German data set already have."""

    base_dir: Path | None = _folder("BASE_DIR", "folder that all others lie in")
    cache_dir: Path | None = _folder("CACHE_DIR", "datasets/, huggingface/, audio/, features/ [BASE_DIR/cache]")
    model_dir: Path | None = _folder("MODEL_DIR", "models and checkpoints [BASE_DIR/models]")
    log_dir: Path | None = _folder("LOG_DIR", "logs [BASE_DIR/logs]")
    config_dir: Path | None = _folder("CONFIG_DIR", "configuration files [BASE_DIR/config]")
    hf_home: Path | None = _folder("HF_HOME", "Hugging Face's own folder [CACHE_DIR/huggingface]")
    hf_datasets_cache: Path | None = _folder("HF_DATASETS_CACHE", "cache of `datasets` [CACHE_DIR/datasets]")

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
        """Makes the folders that the user named (all, once `BASE_DIR` is named) and tells Hugging Face of them.

        Raises UsageError where one cannot be made.
        """
        named = {self.base_dir, self.cache_dir, self.model_dir, self.log_dir, self.config_dir} - {None}
        if not named:
            return
        hf_home = self.hf_home or self.cache / "huggingface"
        hf_datasets = self.hf_datasets_cache or self.cache / "datasets"
        folders = [self.cache / name for name in ("datasets", "huggingface", "audio", "features")]
        folders += [hf_home, hf_datasets, self.logs]
        folders += [self.model_dir or self.base / "models", self.config_dir or self.base / "config"]
        try:
            for folder in folders:
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"cannot make {error.filename}: {error.strerror}", "name a writable BASE_DIR") from error
        os.environ.setdefault("HF_HOME", str(hf_home))
        os.environ.setdefault("HF_DATASETS_CACHE", str(hf_datasets))
