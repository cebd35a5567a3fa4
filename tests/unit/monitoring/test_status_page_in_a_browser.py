"""The status page in a real browser: it renders from one request, on a desk and on a phone."""

from dataclasses import replace

import pytest
from matplotlib.image import imread

from preprocess.monitoring.history import Event
from preprocess.monitoring.snapshot import ActorState, ActorView, Snapshot
from preprocess.monitoring.status_page import status_page
from shared.system.http_server import WebServer
from shared.system.status_pages import Pages, Vitals
from tests.support.browser import cut_tables, rendered, screenshot, scroll_width

SNAPSHOT = Snapshot(
    elapsed_seconds=1_900.0,
    rows_total=970_064,
    rows_done=507_344,
    rows_per_second=684.0,
    audio_seconds_per_second=2_530.0,
    eta_seconds=676.0,
    units_total=431,
    units_done=225,
    disk_used_bytes=58_000_000_000,
    disk_budget_bytes=140_000_000_000,
    disk_forecast_bytes=112_000_000_000,
    disk_free_bytes=312_000_000_000,
    ram_used_bytes=12_100_000_000,
    ram_total_bytes=64_000_000_000,
    actors=tuple(
        ActorView(number, ActorState.WORKING, f"train-{number:05}-of-00431.parquet", 1_000, 2_300, 137.0, 180_000_000)
        for number in range(5)
    ),
)
TITLE = "flozi00/asr-german-mixed@6f3a2c0 -> /mnt/data/cache/features/" + "ein-ziemlich-langer-name-" * 4
EVENTS = [Event(3.0, "level throttle: memory is short: 45.1 GB of 64.0 GB are in use")]


@pytest.fixture
def url():
    pages = Pages(lambda: b"", lambda: status_page(SNAPSHOT, TITLE, EVENTS), Vitals())
    with WebServer(pages, "127.0.0.1", 0) as server:
        yield server.url


def test_it_renders_with_all_its_figures(url, tmp_path):
    document = rendered(url, tmp_path)
    for words in ("507,344 of 970,064", "58.0 GB of 140 GB allowed", "train-00004-of-00431", "level throttle"):
        assert words in document


@pytest.mark.parametrize("width", [360, 1280])
def test_it_never_scrolls_sideways(tmp_path, width):
    assert scroll_width(status_page(SNAPSHOT, TITLE, EVENTS), tmp_path, width) == width


def test_a_phone_shows_every_column_of_the_actors(tmp_path):
    longest = ActorView(10, ActorState.RESTARTING, "train-00004-of-00431", 1_203, 2_240, 1_141.2, 182_000_000, 12)
    page = status_page(replace(SNAPSHOT, actors=(longest,) * 5), TITLE, EVENTS)
    assert cut_tables(page, tmp_path, 390) == ""


def test_its_bars_are_drawn_in_colour(url, tmp_path):
    image = tmp_path / "page.png"
    screenshot(url, tmp_path / "profile", image, 800, 900)
    colours = {tuple(pixel) for pixel in (imread(image)[..., :3] * 255).round().astype(int).reshape(-1, 3).tolist()}
    assert {(0x1A, 0x7F, 0x37), (0x09, 0x69, 0xDA)} <= colours
