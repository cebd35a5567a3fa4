import json
import re
import subprocess
import sys
import warnings
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from preprocess.monitoring.history import Event, History, Point
from preprocess.reporting.html_report import MAX_EVENTS_SHOWN, level_spans, render_report, write_report
from preprocess.reporting.pictures import MAX_PNG_BYTES, row_png
from preprocess.reporting.run_summary import RunSummary
from preprocess.reporting.store_facts import MAX_SOURCES, LengthScan, ReportFacts, _batches, report_facts
from shared.errors import StoreError
from shared.layout import StoreLayout
from shared.schema import INDEX_SCHEMA
from tests.support.browser import scroll_width
from tests.support.samples import feature_row, make_store, quarantined_row

REPOSITORY = Path(__file__).parents[3]
HOSTILE = (
    "<script>alert(1)</script></svg></style><img src=http://x.example onerror=1>\"'&\x1b[31m\x00\x07\u202eevil\u2028"
)
VOID = {"meta", "img", "br", "hr"}
HOUR = 3_600
SUMMARY = RunSummary(
    store="/data/store",
    splits=(),
    num_shards=3,
    store_bytes=100_000_000,
    run_rows=36_000,
    run_audio_seconds=50.0 * HOUR,
    elapsed_seconds=0.5 * HOUR,
    peak_disk_bytes=120_000_000,
    peak_ram_bytes=1_500_000_000,
    actor_peak_ram_bytes=(180_000_000, 182_000_000),
    stage_seconds={"read": 500.0, "decode": 2_000.0, "log_mel": 600.0},
    actor_seconds=3_600.0,
    num_cores=2,
    disk_budget_bytes=150_000_000,
    ram_limit_bytes=4_000_000_000,
    level_seconds={"normal": 1_740.0, "throttle": 60.0},
    forecast_store_bytes=90_000_000,
    forecast_seconds=2_000.0,
    next_command=("python", "-m", "preprocess.verify", "--store", "/data/my store"),
)


class Page(HTMLParser):
    """A page's tags, attributes and words; an end tag that closes nothing is an error."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.words, self.open, self.errors = [], [], "", [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.errors.append(tag)

    def handle_data(self, data):
        if "style" not in self.open:
            self.words += data + " "

    @property
    def plain(self):
        return " ".join(self.words.split())


def point(seconds, level="normal", **values):
    defaults = {
        "rows_done": int(seconds),
        "rows_per_second": 20.0,
        "audio_seconds_per_second": 100.0,
        "disk_used_bytes": int(seconds) * 1_000_000,
        "disk_budget_bytes": 150_000_000,
        "ram_used_bytes": 1_500_000_000,
        "ram_limit_bytes": 4_000_000_000,
        "actors_working": 2,
    }
    return Point(elapsed_seconds=seconds, level=level, **(defaults | values))


def history(*events, left_out=0):
    points = [point(second, "pause" if 30 <= second < 40 else "normal") for second in range(0, 100, 5)]
    return History(points=points, events=list(events), events_left_out=left_out)


def small_store(root, **values):
    units = [[feature_row(row, **values) for row in range(start, start + 4)] for start in (0, 4, 11)]
    units[1] += [quarantined_row(8, "too_long"), quarantined_row(9, "too_long"), quarantined_row(10)]
    return make_store(root, {"train": units})


def report(layout, summary=SUMMARY, course=None, outcome="as planned", *, pictures=False, **more):
    write_report(layout, summary, course or history(), outcome, pictures=pictures, **more)
    return (layout.root / "report.html").read_text()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    layout = small_store(tmp_path_factory.mktemp("finished") / "store")
    (layout.root / "settings.json").write_text(
        json.dumps({"actors": 5, "limit": None, "source": "https://me:pw@host/x"})
    )
    event = Event(30.0, "level pause: the disk is nearly full")
    ended_at = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    return layout, report(layout, course=history(event), ended_at=ended_at, pictures=True)


def test_the_page_is_well_formed_and_so_is_every_plot(finished):
    page = Page(finished[1])
    assert (page.errors, page.open) == ([], [])
    plots = ["<svg" + part.split("</svg>")[0] + "</svg>" for part in finished[1].split("<svg")[1:]]
    assert len(plots) == 6
    assert all(ET.fromstring(plot).tag == "svg" for plot in plots)


def test_the_page_needs_nothing_but_itself_and_runs_nothing(finished):
    page = Page(finished[1])
    addresses = [value for _, name, value in page.attributes if name in {"src", "href", "srcset", "action", "data"}]
    assert all(value.startswith("data:image/png;base64,") for value in addresses)
    assert not {"script", "link", "iframe", "object", "form", "base"} & set(page.tags)
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    assert "url(" not in finished[1]
    assert "@import" not in finished[1]
    assert ("meta", "content", "default-src 'none'; img-src data:; style-src 'unsafe-inline'") in page.attributes
    assert len(finished[1]) < 2_000_000


def test_the_page_is_fit_for_phones_and_the_dark(finished):
    assert ("meta", "content", "width=device-width, initial-scale=1") in Page(finished[1]).attributes
    assert "prefers-color-scheme: dark" in finished[1]


def test_the_figures_are_those_of_the_store_and_the_run(finished):
    words = Page(finished[1]).plain
    for phrase in (
        "Store complete : as planned (02 January 2026, 03:04 UTC)",
        "rows written 12 of 15",
        "quarantined 3 2 reasons",
        "audio 0.6 s",
        "shards 3 of 3",
        "this run 30 min 00 s 36,000 rows, 50.0 h",
        "speed 20 clips per second",
        "real time 100 x",
        "most disk 120 MB of 150 MB allowed",
        "its own; 1.5 GB of 4.0 GB in use",
        "What limited the run: decode took 56 % of actor time",
        "store 90.0 MB 100 MB 10.0 % too low",
        "time 33 min 20 s 30 min 00 s 11.1 % too high",
        "2 too_long",
        "row 8, clip8.wav : no sound in it",
        "korpus 0 4 0.2 s",
        "python -m preprocess.verify --store '/data/my store'",
        "30 s level pause: the disk is nearly full",
        "normal 29 min 00 s, throttle 1 min 00 s.",
    ):
        assert phrase in words, phrase


def test_three_rows_are_shown_from_the_first_a_middle_and_the_last_shard(finished):
    page = Page(finished[1])
    assert page.tags.count("img") == 3
    for row in (0, 5, 14):
        assert f"train, row {row}: 0.05 s" in page.plain
        assert f"Satz {row}: schöne Grüße" in page.plain


def test_the_histogram_and_the_sources_count_every_row(finished):
    facts = report_facts(finished[0])
    assert sum(count for _, _, count in facts.histogram) == facts.rows == 12
    assert sum(rows for _, rows, _ in facts.sources) == 12
    assert facts.audio_seconds == pytest.approx(sum(split.audio_seconds for split in facts.splits))
    assert facts.num_bytes == sum(
        path.stat().st_size for folder in (finished[0].data, finished[0].index) for path in folder.iterdir()
    )


def test_no_password_is_told(finished):
    assert "pw@" not in finished[1]
    assert "https://…host/x" in finished[1]


def test_words_from_outside_stay_words(tmp_path):
    layout = small_store(tmp_path / "store", transkription=HOSTILE, source=HOSTILE, path=HOSTILE)
    record = json.loads(layout.record.read_text())
    layout.record.write_text(json.dumps(record | {"source": HOSTILE}))
    (layout.root / "settings.json").write_text(json.dumps({HOSTILE: HOSTILE}))
    summary = replace(SUMMARY, store=HOSTILE, next_command=["run", HOSTILE], stage_seconds={HOSTILE: 1.0})
    text = report(layout, summary, history(Event(1.0, HOSTILE + "\ud800")), outcome=HOSTILE, pictures=True)
    page = Page(text)
    assert (page.errors, page.open) == ([], [])
    assert page.tags.count("img") == 3
    assert not {"script"} & set(page.tags)
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    assert not set(text) & set("\x1b\x00\x07\u202e\u2028")
    assert "evil" in page.words


@pytest.mark.parametrize("partial", [True, False])
def test_a_run_that_ended_early_gets_a_page_of_what_there_is(tmp_path, partial):
    layout = small_store(tmp_path / "store")
    layout.complete.unlink()
    layout.index_of("train").unlink()
    layout.shard("train", 2, 3).unlink()
    if partial:
        layout.partial.mkdir()
    before = {path.name for path in layout.root.iterdir()}
    words = Page(report(layout, outcome="stopped by Ctrl-C", pictures=not partial)).plain
    for phrase in (
        "Store not complete : stopped by Ctrl-C",
        "rows written 8 of 15",
        "shards 2 of 3",
        "so far",
        "ended early",
        "Run the same command again",
        "audio 0.4 s",
    ):
        assert phrase in words, phrase
    assert {path.name for path in layout.root.iterdir()} == before | {"report.html"}


def test_a_store_without_a_shard_gets_a_page(tmp_path):
    layout = small_store(tmp_path / "store")
    for path in (layout.complete, *layout.data.iterdir(), *layout.quarantine.iterdir()):
        path.unlink()
    idle = replace(SUMMARY, run_rows=0, run_audio_seconds=0.0, stage_seconds={}, actor_seconds=0.0,
                   actor_peak_ram_bytes=(), level_seconds={}, forecast_store_bytes=None, forecast_seconds=None,
                   next_command=())  # fmt: skip
    page = Page(report(layout, idle, History(), pictures=True))
    assert (page.errors, page.open) == ([], [])
    for phrase in ("rows written 0 of 15", "Nothing was quarantined.", "No events.", "this run made no shard"):
        assert phrase in page.plain
    assert not {"svg", "img"} & set(page.tags)


def test_a_finished_store_whose_rows_were_all_quarantined_gets_a_page(tmp_path):
    layout = make_store(tmp_path / "store", {"train": [[quarantined_row(0), quarantined_row(1)]]})
    assert "rows written 0 of 2" in Page(report(layout, pictures=True)).plain


def test_a_folder_that_is_no_store_is_left_alone(tmp_path):
    with pytest.raises(StoreError, match="is not a store"):
        report(StoreLayout(tmp_path))
    assert not list(tmp_path.iterdir())


def test_a_damaged_shard_is_named(tmp_path):
    layout = small_store(tmp_path / "store")
    layout.shard("train", 0, 3).write_bytes(b"no Parquet")
    with pytest.raises(StoreError, match="train-00000-of-00003"):
        report(layout, pictures=True)


def test_an_earlier_page_and_a_dead_runs_remains_give_way(tmp_path):
    layout = small_store(tmp_path / "store")
    (layout.root / "report.html").write_text("old")
    (layout.root / ".report.html.partial").write_text("half")
    assert report(layout).startswith("<!DOCTYPE html>")
    assert not (layout.root / ".report.html.partial").exists()


FACTS = ReportFacts("a test", "8 mel bins", (), 0, 0.0, (), (), ())


def rendered(course, facts=FACTS):
    return render_report(facts, [], SUMMARY, course, outcome="", settings={})


def test_of_many_events_the_first_are_shown_and_the_others_counted():
    text = rendered(history(*(Event(1.0, f"event {number}") for number in range(1_000)), left_out=250))
    words = Page(text).plain
    assert f"event {MAX_EVENTS_SHOWN - 1} " in words
    assert f"event {MAX_EVENTS_SHOWN} " not in words
    assert f"and {1_250 - MAX_EVENTS_SHOWN:,} more events later on" in words


def test_of_many_sources_the_longest_are_shown_and_the_others_added_up():
    facts = replace(FACTS, sources=[(f"source {number}", 10, 7_200.0 - number) for number in range(1_000)])
    words = Page(rendered(history(), facts)).plain
    assert "source 29 10 2.0 h" in words
    assert "and 970 more 9,700 1,8" in words


def test_the_page_of_the_longest_run_stays_small():
    course = History(
        points=[point(60.0 * number, "pause" if number % 3 else "normal") for number in range(1_200)],
        events=[Event(1.0, "&<\"'" * 500) for _ in range(1_000)],
    )
    # Three pictures take their share, as base64.
    assert len(rendered(course).encode()) + 3 * MAX_PNG_BYTES * 4 // 3 < 2_000_000


@pytest.mark.parametrize(("num_frames", "num_mel_bins"), [(1, 80), (370, 80), (3_000, 128), (40_000, 128)])
def test_a_picture_of_any_clip_takes_no_more_than_its_share(num_frames, num_mel_bins):
    """Noise is what takes most."""
    png = row_png(np.random.default_rng(0).uniform(-1.5, 1.5, (num_frames, num_mel_bins)).astype(np.float32))
    assert len(png) <= MAX_PNG_BYTES
    with Image.open(BytesIO(png)) as image:
        assert image.format == "PNG"
        assert 600 <= image.width <= 1_250


def test_a_picture_has_low_notes_below_and_what_is_early_at_the_left():
    log_mel = np.full((600, 80), -1.0, np.float32)
    log_mel[:60, :8] = 1.0
    with Image.open(BytesIO(row_png(log_mel))) as image:
        shades = np.asarray(image.convert("L"), np.int32)
    # The axes' words lie outside.
    inside = shades[6:216, 42:642]
    loud = np.argwhere(inside > 200)
    assert (loud[:, 0].min() >= 189, loud[:, 1].max() < 60) == (True, True)
    assert len(loud) == 21 * 60


def test_a_picture_of_silence_is_drawn_without_a_warning():
    with warnings.catch_warnings(action="error"):
        assert row_png(np.full((100, 80), -1.5, np.float32))


def test_a_page_with_its_pictures_needs_no_matplotlib():
    program = (
        "import sys; import numpy as np; from preprocess.reporting import html_report as page;"
        "page.row_png(np.zeros((100, 80), np.float32)); sys.exit('matplotlib' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, check=False).returncode == 0


def test_levels_are_spans_that_end_where_the_next_is_seen():
    levels = ["normal", "throttle", "throttle", "pause", "normal", "stop"]
    spans = level_spans([point(10.0 * number, level) for number, level in enumerate(levels)])
    assert [(span.start, span.stop, span.name, span.shade) for span in spans] == [
        (10.0, 30.0, "throttle", 0),
        (30.0, 40.0, "pause", 1),
        (50.0, 50.0, "stop", 3),
    ]
    assert level_spans([]) == []


def scanned(durations, sources=None):
    scan = LengthScan()
    sources = sources or ["a"] * len(durations)
    scan.add(pa.record_batch({"duration": pa.array(durations, pa.float32()), "source": pa.array(sources)}))
    return scan


@pytest.mark.parametrize(
    ("durations", "bins"),
    [
        ([], []),
        ([0.3, 0.31, 1.0], [(0.3, 2), (0.9, 1)]),
        ([0.5, 30.0, 29.9], [(0.0, 1), (29.0, 2)]),
        ([1.0, 59.0], [(0.0, 1), (58.0, 1)]),
        ([5_000.0], [(3_400.0, 1)]),
    ],
)
def test_lengths_fall_into_bins_of_a_round_width(durations, bins):
    found = scanned(durations).histogram()
    assert [(pytest.approx(start), count) for start, _, count in found if count] == bins
    assert len(found) <= 30


def test_as_many_sources_as_rows_are_no_burden():
    scan = scanned([1.0] * (2 * MAX_SOURCES), [str(number) for number in range(2 * MAX_SOURCES)])
    assert len(scan.sources) == MAX_SOURCES + 1
    assert sum(rows for rows, _ in scan.sources.values()) == scan.rows == 2 * MAX_SOURCES


def test_the_index_of_970064_rows_is_read_in_little_memory(tmp_path):
    rows, path = 970_064, tmp_path / "train.parquet"
    columns = {
        field.name: pa.nulls(rows, field.type).fill_null(0)
        for field in INDEX_SCHEMA
        if field.name not in {"labels", "source"}
    }
    columns["labels"] = pa.array([[]], INDEX_SCHEMA.field("labels").type).take(pa.array(np.zeros(rows, np.int32)))
    columns["source"] = pa.array(["ein Korpus"]).take(pa.array(np.zeros(rows, np.int32)))
    table = pa.table([columns[name] for name in INDEX_SCHEMA.names], schema=INDEX_SCHEMA)
    pq.write_table(table, path, row_group_size=10_000)
    del table, columns
    scan, before, most = LengthScan(), pa.total_allocated_bytes(), 0
    for batch in _batches([path]):
        scan.add(batch)
        most = max(most, pa.total_allocated_bytes() - before)
    assert scan.rows == rows
    assert most < 16_000_000


def test_a_phone_shows_every_column_without_scrolling_sideways(finished, tmp_path):
    # A picture of a clip may be wider than the screen; tables may not, not even within a frame of their own.
    page = finished[1].replace("min-width: 44rem; ", "").replace("overflow-x: auto", "")
    # Figures as long as those of the real data set.
    page = re.sub(r'(<td class="n">)(?=\d)', r"\g<1>97,0", page)
    assert scroll_width(page, tmp_path, 390) <= 390


def test_rates_are_clips_as_everywhere(finished):
    assert "Throughput, clips per second" in finished[1]
    assert "samples per second" not in finished[1]
