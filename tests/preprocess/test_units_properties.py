import re
from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocess.piece_ranges import PieceCounts
from preprocess.sources.base import Block
from preprocess.units import cut_ranges, rows_per_unit
from shared.selection import Selection
from shared.units import (
    format_audio,
    format_audio_rate,
    format_bytes,
    format_count,
    format_counted,
    format_rate,
    format_seconds,
    parse_bytes,
)

SIZES = st.integers(min_value=0, max_value=10**21)
SECONDS_OF = {"s": 1, "min": 60, "h": 3_600, "d": 86_400}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("4096", 4_096),
        ("512 B", 512),
        ("256MB", 256_000_000),
        ("2GiB", 2 * 2**30),
        ("1.5 TB", 1_500_000_000_000),
        ("  120 gb ", 120_000_000_000),
        ("0.5KiB", 512),
        ("3Gi", 3 * 2**30),
        ("8G", 8_000_000_000),
    ],
)
def test_sizes_are_read_as_people_write_them(text, expected):
    assert parse_bytes(text) == expected


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "1,5 GB", "1.5.2GB", "2 i", "1e9", "12 parsecs", "1GB 2GB", "٣GB"])
def test_what_is_no_size_is_refused_with_an_example(text):
    with pytest.raises(ValueError, match="is not a size: write a number and a unit, such as 256MB"):
        parse_bytes(text)


def test_a_fraction_without_a_unit_is_refused_because_the_unit_was_forgotten():
    with pytest.raises(ValueError, match=r"add a unit, such as 1\.5GB"):
        parse_bytes("1.5")


@given(SIZES)
def test_every_whole_number_of_bytes_is_read_back_exactly(count):
    assert parse_bytes(str(count)) == parse_bytes(f"{count} B") == count


@given(st.integers(0, 10**6), st.sampled_from("kMGTPE"), st.sampled_from(["", " "]))
def test_decimal_and_binary_units_differ_by_exactly_their_powers(count, prefix, space):
    power = "kMGTPE".index(prefix) + 1
    assert parse_bytes(f"{count}{space}{prefix}B") == count * 1000**power
    assert parse_bytes(f"{count}{space}{prefix}iB") == count * 1024**power


@given(SIZES)
def test_a_printed_size_read_back_is_within_half_of_its_last_digit(count):
    number, unit = format_bytes(count).split()
    last_digit = parse_bytes(f"1 {unit}") * (0.1 if "." in number else 1)
    assert abs(parse_bytes(format_bytes(count)) - count) <= last_digit / 2


@given(SIZES)
def test_a_printed_size_read_back_is_printed_the_same(count):
    assert format_bytes(parse_bytes(format_bytes(count))) == format_bytes(count)


@given(SIZES, SIZES)
def test_printed_sizes_keep_their_order(one, other):
    smaller, larger = sorted((one, other))
    assert parse_bytes(format_bytes(smaller)) <= parse_bytes(format_bytes(larger))


@given(st.integers(min_value=0, max_value=10**18 - 1))
def test_a_printed_size_has_at_most_seven_characters(count):
    assert len(format_bytes(count)) <= len("99.9 GB")


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (139_000, "139 kB"),
        (999_950, "1.0 MB"),
        (99_960_000, "100 MB"),
        (3_210_000_000, "3.2 GB"),
        (-3_210_000_000, "-3.2 GB"),
        (2 * 10**21, "2000 EB"),
    ],
)
def test_sizes_are_printed_in_decimal_units(count, expected):
    assert format_bytes(count) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0 s"),
        (3.42, "3.4 s"),
        (9.97, "10 s"),
        (59.7, "1 min 00 s"),
        (245, "4 min 05 s"),
        (3_840, "1 h 04 min"),
        (86_399, "1 d 00 h"),
        (183_600, "2 d 03 h"),
        (-42, "-42 s"),
        (float("inf"), "-"),
        (float("nan"), "-"),
    ],
)
def test_times_are_printed_in_at_most_two_units(seconds, expected):
    assert format_seconds(seconds) == expected


@given(st.floats(min_value=0, max_value=10**8))
def test_a_printed_time_read_back_is_within_half_of_its_last_unit(seconds):
    parts = [(float(number), unit) for number, unit in re.findall(r"([\d.]+) (\w+)", format_seconds(seconds))]
    last = 0.1 if seconds < 9.9 else SECONDS_OF[parts[-1][1]]
    assert abs(sum(number * SECONDS_OF[unit] for number, unit in parts) - seconds) <= last / 2 * (1 + 1e-9)


def test_counts_are_printed_with_thousands_separated():
    assert format_count(970_064) == "970,064"


def test_one_thing_is_not_several():
    assert [format_counted(count, "clip") for count in (0, 1, 970_064)] == ["0 clips", "1 clip", "970,064 clips"]


def test_lengths_of_audio_are_printed_in_hours_from_one_hour_on():
    assert [format_audio(s) for s in (50, 2_050, 44_280, 4_240_800)] == ["50 s", "34 min 10 s", "12.3 h", "1,178 h"]


def test_rates_are_printed_with_as_many_digits_as_matter():
    assert [format_rate(r) for r in (0, 3.42, 684.2, 12_040, float("inf"))] == ["0", "3.4", "684", "12,040", "-"]


def test_audio_rates_are_how_often_faster_than_listening():
    rates = [format_audio_rate(rate) for rate in (0, 3.42, 118, 1_116)]
    assert rates == ["0 x real time", "3.4 x real time", "118 x real time", "1,116 x real time"]


# The plan: units of work


BLOCKS = st.lists(st.builds(Block, st.integers(0, 400), st.integers(0, 10_000)), max_size=30)
ROWS_PER_UNIT = st.integers(1, 300)
LIMIT = st.none() | st.integers(1, 3_000)


@given(BLOCKS, ROWS_PER_UNIT, LIMIT)
def test_ranges_cover_all_rows_exactly_once_and_in_order(blocks, rows_per_unit, limit):
    ranges = cut_ranges(blocks, rows_per_unit, limit)
    total = sum(block.num_rows for block in blocks)
    covered = [row for start, stop in ranges for row in range(start, stop)]
    assert covered == list(range(total if limit is None else min(total, limit)))
    assert all(start < stop for start, stop in ranges)


@given(BLOCKS, ROWS_PER_UNIT, LIMIT)
def test_no_range_is_much_longer_than_wanted(blocks, rows_per_unit, limit):
    assert all(stop - start <= 1.75 * rows_per_unit for start, stop in cut_ranges(blocks, rows_per_unit, limit))


@given(BLOCKS, ROWS_PER_UNIT)
def test_small_blocks_are_never_divided(blocks, rows_per_unit):
    small = [block for block in blocks if block.num_rows <= 1.5 * rows_per_unit]
    edges = {0, *accumulate(block.num_rows for block in small)}
    assert {edge for pair in cut_ranges(small, rows_per_unit) for edge in pair} <= edges


@given(BLOCKS, ROWS_PER_UNIT)
def test_a_large_blocks_edges_are_edges_of_ranges(blocks, rows_per_unit):
    ranges = cut_ranges(blocks, rows_per_unit)
    starts = {start for start, _ in ranges}
    first = 0
    for block in blocks:
        if block.num_rows > 1.5 * rows_per_unit:
            assert first in starts
        first += block.num_rows


@given(
    st.integers(0, 2**40),
    st.integers(0, 3_000),
    st.floats(0, 1, exclude_max=True),
)
def test_train_and_test_parts_are_disjoint_and_together_all_rows(start, count, fraction):
    train, test = (Selection(part, fraction).mask(start, start + count) for part in ("train", "test"))
    assert not (train & test).any()
    assert (train | test).all()


@given(st.integers(0, 10_000), st.integers(0, 500), st.integers(0, 500), st.floats(0, 1, exclude_max=True))
def test_a_rows_part_does_not_hang_on_the_range_that_asks(start, first, second, fraction):
    chosen = Selection("test", fraction)
    whole = chosen.mask(start, start + first + second)
    assert [*chosen.mask(start, start + first), *chosen.mask(start + first, start + first + second)] == [*whole]


@given(st.integers(1, 10**12), st.floats(0, 10**8))
def test_rows_per_unit_make_about_the_bytes_wanted(shard_bytes, row_bytes):
    rows = rows_per_unit(shard_bytes, row_bytes)
    wanted = max(1.0, shard_bytes / max(1.0, row_bytes))
    assert rows >= 1
    assert abs(rows - wanted) <= max(1.0, 0.05 * wanted)


@given(st.data())
@settings(deadline=None)
def test_units_of_pieces_have_whole_rows_and_near_as_many_pieces_as_wanted(data):
    blocks = [Block(rows, 0) for rows in data.draw(st.lists(st.integers(1, 30), min_size=1, max_size=6))]
    total, per_unit = sum(block.num_rows for block in blocks), data.draw(st.integers(1, 40))
    num_pieces = data.draw(st.dictionaries(st.integers(0, total - 1), st.integers(1, 9), max_size=8))
    counts = PieceCounts.of(num_pieces)
    assert counts.before(total) == total + sum(pieces - 1 for pieces in num_pieces.values())
    assert all(counts.row_at(counts.before(row)) == row for row in range(total + 1))
    ranges = counts.row_ranges(cut_ranges(counts.spread(blocks), per_unit))
    assert [row for start, stop in ranges for row in range(start, stop)] == list(range(total))
    assert all(counts.before(stop) - counts.before(start) <= 1.75 * per_unit + 9 for start, stop in ranges)
    selected = np.array(data.draw(st.lists(st.booleans(), min_size=total, max_size=total)))
    further = [counts.further_of(start, selected[start:stop]) for start, stop in ranges]
    assert sum(further) == sum(pieces - 1 for row, pieces in num_pieces.items() if selected[row])
