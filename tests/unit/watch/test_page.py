"""The status page of a training: what it shows, on a desk and on a phone, and that data cannot become markup."""

import math
from dataclasses import replace

import pytest

from shared.system.http_server import WebServer
from shared.system.status_pages import Pages
from tests.support.browser import rendered, scroll_width
from tests.support.html import Page
from trainer.telemetry.health import HealthWarning, Trouble
from trainer.telemetry.records import CheckpointRecord, EvaluationRecord, Phase, StepRecord, WordErrors
from trainer.watch.moment import RunFacts
from trainer.watch.page import EVENTS_SHOWN
from trainer.watch.watch import Watch

RATES = {"raw": WordErrors(0.127, 0.05, 900), "basic": WordErrors(0.113, 0.04, 900)}
RECORD = StepRecord(25, 0.5, 1e-5, 1.25, 1_024.0, 2.0, 24.0, 100.0, 0.012, 0.03, 1, 0.4, 12_000_000_000, 0.97)
HOSTILE = "</title><script>alert(1)</script><img src=x onerror=alert(1)>\x1b[31m\nü"
LONG = "ein-ziemlich-langer-name-" * 6


def watching(model="openai/whisper-large-v3-turbo", store="/data/store", said="GPU memory ran out"):
    times = iter(range(1_000, 10**6))
    watch = Watch(RunFacts("run1", model, store, "/data/out", 900.0), lambda: float(next(times)))
    watch.begin(0, 60_630, (None, None), {})
    for step in (25, 50, 75):
        watch.progress(step)
        watch.step(replace(RECORD, step=step, loss=math.nan if step == 50 else 12.0 / step))
    watch.evaluated(EvaluationRecord(50, 512, "window", RATES, {}, 33.0), best=True)
    watch.saved(CheckpointRecord(50, 9_700_000_000, 1_000.0, 40.0))
    watch.warn(HealthWarning(Trouble.DATA_WAIT, "training waits", "raise --loader-threads"))
    watch.event(said)
    watch.phase(Phase.EVALUATING, 128, 512)
    return watch


@pytest.mark.parametrize(
    "words",
    [
        *("75 of 60,630", "evaluating: 128 of 512 clips", "0.1600", "1e-05", "24 clips/s", "1.2%", "40.0%"),
        *("12.0 GB", "97%", "1024", "WER 12.70 % raw, 11.30 % basic", "12.70 %, step 50", "step 50, 9.7 GB"),
        *("gradient norm", "1.25", "padding", "3.0%"),
        *("training waits -> raise --loader-threads", "loss", "raw WER", "learning rate", "VRAM"),
    ],
)
def test_it_says_what_a_person_wants_to_know(words):
    assert words in Page(watching().page()).text


def test_there_is_a_curve_for_each_figure_that_has_anything_to_show():
    assert Page(watching().page()).tags.count("svg") == 10
    bare = Watch(RunFacts("", "m", "s", "o", 0.0))
    bare.step(replace(RECORD, mfu=None, vram_bytes=None, gpu_utilisation=None))
    assert Page(bare.page()).tags.count("svg") == 6


def test_it_is_well_formed_refreshes_itself_and_needs_nothing_else():
    page = Page(watching().page())
    assert page.open == []
    assert ("meta", "http-equiv", "refresh") in page.attributes
    assert not {"script", "link", "img", "iframe"} & set(page.tags)
    assert not [value for _, name, value in page.attributes if name in {"src", "href"}]


def test_names_are_text_and_nothing_else():
    plain, hostile = Page(watching().page()), Page(watching(HOSTILE, HOSTILE, HOSTILE).page())
    assert hostile.tags == plain.tags
    assert "\x1b" not in hostile.text
    assert "<script>alert(1)</script>" in hostile.text


def test_a_training_that_has_not_begun_has_a_page_too():
    assert "0 of 0" in Page(Watch(RunFacts("", "m", "s", "o", 0.0)).page()).text


def test_the_last_events_come_first_and_old_ones_go():
    watch = watching()
    for number in range(100):
        watch.event(f"event {number}.")
    text = Page(watch.page()).text
    assert text.index("event 99.") < text.index("event 98.")
    assert f"event {99 - EVENTS_SHOWN}." not in text


@pytest.mark.parametrize("width", [390, 1280])
def test_it_never_scrolls_sideways(tmp_path, width):
    assert scroll_width(watching(LONG, f"/{LONG}", LONG).page(), tmp_path, width) == width


def test_a_browser_draws_its_curves_under_the_servers_own_policy(tmp_path):
    watch = watching()
    with WebServer(Pages(watch.metrics, watch.page, watch.vitals), "127.0.0.1", 0) as server:
        document = rendered(server.url, tmp_path)
    assert "75 of 60,630" in document
    assert document.count("<svg") == 10
