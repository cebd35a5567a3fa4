import math
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.pages.svg_plots import (
    HEIGHT,
    WIDTH,
    Band,
    Limit,
    bar_chart,
    histogram,
    line_chart,
    time_ticks,
    value_ticks,
)
from shared.units import format_bytes

HOSTILE = "</svg><script>alert('1')</script>\"&"
SVG = "{http://www.w3.org/2000/svg}"
positive = st.floats(min_value=1e-6, max_value=1e18)


def parsed(svg):
    """The plot as XML, as strict as a parser can be."""
    return ET.fromstring(svg)


def words(svg):
    return [element.text for element in parsed(svg).iter("text")]


def line(values, seconds=None, **more):
    seconds = list(range(len(values))) if seconds is None else seconds
    return line_chart(seconds, values, **({"title": "Disk", "unit": lambda value: format_bytes(round(value))} | more))


@given(positive)
def test_value_ticks_are_few_start_at_zero_and_reach_the_largest_value(most):
    ticks = value_ticks(most)
    assert 2 <= len(ticks) <= 6
    assert ticks[0] == 0
    assert ticks[-1] >= most * (1 - 1e-9)
    assert ticks[-1] <= most * 2


@given(st.integers(1, 10**9))
def test_ticks_of_a_count_are_whole(most):
    assert all(tick == round(tick) for tick in value_ticks(most, whole=True))


@given(st.floats(min_value=0.1, max_value=1e8))
def test_time_ticks_are_few_and_lie_within_the_run(seconds):
    ticks = time_ticks(seconds)
    assert 1 <= len(ticks) <= 6
    assert ticks[0] == (0, "0")
    assert all(0 <= place <= seconds * (1 + 1e-9) for place, _ in ticks)


@pytest.mark.parametrize(
    ("seconds", "last"),
    [(0.7, "0.6 s"), (42, "40 s"), (300, "5 min"), (7_000, "90 min"), (17_000, "4 h"), (400_000, "4 d")],
)
def test_time_is_told_in_the_unit_that_fits(seconds, last):
    assert time_ticks(seconds)[-1][1] == last


def test_a_line_is_one_path_from_the_first_value_to_the_last():
    paths = list(parsed(line([0, 50, 100])).iter("path"))
    assert [path.get("class") for path in paths] == ["line"]
    places = [tuple(map(float, place.split())) for place in paths[0].get("d")[1:].split("L")]
    assert places[0][1] > places[1][1] > places[2][1]
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in places)


def test_a_value_that_is_not_finite_is_a_gap():
    plot = parsed(line([1, 2, math.nan, 4, math.inf, 6, 7]))
    assert len(list(plot.iter("path"))) == 2
    assert len(list(plot.iter("circle"))) == 1


@pytest.mark.parametrize("values", [[], [math.nan, math.inf]])
def test_without_values_the_plot_says_so(values):
    assert words(line(values)) == ["nothing was measured"]


def test_one_moment_and_zeros_can_be_drawn():
    assert parsed(line([0.0])) is not None
    assert parsed(line([0.0, 0.0, 0.0])) is not None
    assert parsed(line([5.0], [0.0])) is not None


def test_a_limit_near_the_line_is_drawn_and_named():
    svg = line([50, 60], limit=Limit("allowed", [100, 100]))
    assert [path.get("class") for path in parsed(svg).iter("path")] == ["line", "limit"]
    assert "allowed 100 B" in words(svg)


def test_a_limit_far_above_is_told_in_words_and_leaves_the_line_its_room():
    svg = line([50, 60], limit=Limit("allowed", [10**9, 10**9]))
    assert [path.get("class") for path in parsed(svg).iter("path")] == ["line"]
    assert "allowed 1.0 GB: beyond this scale" in words(svg)


def test_bands_are_shaded_where_they_lie_and_the_shortest_is_still_seen():
    svg = line([1] * 1001, bands=[Band(0, 500, "throttle", 0), Band(700, 700.01, "pause", 1)])
    bands = [rect for rect in parsed(svg).iter("rect") if "band" in rect.get("class")]
    assert [rect.get("class") for rect in bands] == ["band shade-0", "band shade-1"]
    assert [rect.find("title").text for rect in bands] == ["throttle", "pause"]
    assert float(bands[1].get("width")) >= 1
    assert "throttle" in words(svg)
    assert "pause" not in words(svg)


def test_bars_are_as_long_as_their_values():
    svg = bar_chart([("decode", 0.6, "60.0 %"), ("write", 0.3, "30.0 %")], title="Shares", quiet=frozenset({"write"}))
    bars = list(parsed(svg).iter("rect"))
    assert float(bars[0].get("width")) == pytest.approx(2 * float(bars[1].get("width")), abs=0.2)
    assert [bar.get("class") for bar in bars] == ["bar", "bar quiet"]
    assert words(svg) == ["decode", "60.0 %", "write", "30.0 %"]


def test_a_histogram_has_a_bar_for_every_bin_and_says_each_count():
    svg = histogram([(0, 1, 10), (1, 2, 0), (2, 3, 1_200)], title="Lengths")
    titles = [rect.find("title").text for rect in parsed(svg).iter("rect")]
    assert titles == ["0 to 1 s: 10", "1 to 2 s: 0", "2 to 3 s: 1,200"]
    assert parsed(svg).get("aria-label") == "Lengths: most, 1,200, from 2 to 3 s"


@pytest.mark.parametrize("svg", [bar_chart([], title="Shares"), histogram([], title="Lengths")])
def test_empty_plots_are_plots(svg):
    assert parsed(svg).get("role") == "img"


@pytest.mark.parametrize(
    "svg",
    [
        line([1, 2], title=HOSTILE, unit=lambda _: HOSTILE, limit=Limit(HOSTILE, [2, 2]), bands=[Band(0, 1, HOSTILE)]),
        bar_chart([(HOSTILE, 1.0, HOSTILE)], title=HOSTILE),
        histogram([(0, 1, 1)], title=HOSTILE, unit=HOSTILE),
    ],
)
def test_words_from_outside_stay_words(svg):
    assert not list(parsed(svg).iter("script"))
    assert "alert" in parsed(svg).get("aria-label")
    assert "<script" not in svg


@pytest.mark.parametrize(
    "svg", [line([1, 2]), bar_chart([("a", 1.0, "1")], title="t"), histogram([(0, 1, 1)], title="t")]
)
def test_every_plot_says_in_words_what_it_shows(svg):
    plot = parsed(svg)
    assert plot.get("role") == "img"
    assert plot.get("aria-label") == plot[0].text
    assert plot[0].tag == "title"
