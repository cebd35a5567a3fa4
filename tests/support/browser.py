"""A headless Chromium: the page as it renders, without a network."""

import subprocess
from pathlib import Path

OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars")
TIMEOUT_SECONDS = 60


def rendered(url: str, profile: Path, *, script_ms: int = 0) -> str:
    """The document as it stands once the page at *url* is loaded, and its scripts had *script_ms* of their time."""
    waiting = [f"--virtual-time-budget={script_ms}"] if script_ms else []
    return _chromium(profile, *waiting, "--dump-dom", url)


def screenshot(url: str, profile: Path, image: Path, width: int, height: int) -> None:
    """Writes what a window of *width* x *height* shows of *url* as a PNG."""
    _chromium(profile, f"--screenshot={image}", f"--window-size={width},{height}", url)


def _chromium(profile: Path, *words: str) -> str:
    command = ["chromium", *OPTIONS, f"--user-data-dir={profile}", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=TIMEOUT_SECONDS)
    return done.stdout
