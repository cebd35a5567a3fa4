from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocess.alignment.assignment import assign
from preprocess.alignment.cuts import LONGEST, SHORTEST, choose_cuts, pieces_of
from preprocess.alignment.pauses import Pause, find_pauses
from preprocess.alignment.recording import Rules, cut_recording
from preprocess.alignment.words import texts_of, words_of

RATE = 16_000
SENTENCES = ["Der Hund bellt laut im Garten.", "Heute scheint die Sonne – endlich!", "Wir fahren morgen ans Meer."]
TEXTS = st.text(st.sampled_from("abz äß -–.'’日本ー "), max_size=40).map(lambda text: " ".join(text.split()))


def speech(*parts: float, level: float = 0.1) -> np.ndarray:
    """Noise and near silence in turn, so many seconds each."""
    rng = np.random.default_rng(0)
    made = [rng.normal(0, level if not n % 2 else 1e-4, round(part * RATE)) for n, part in enumerate(parts)]
    return np.concatenate(made).astype(np.float32)


def test_pauses_have_the_edges_of_the_energy_and_the_ends_of_a_recording_are_none():
    found = find_pauses(np.concatenate([speech(0, 1), speech(2, 0.3, 2, 0.15, 2, 0.5)]))
    assert [(round(p.start / RATE, 2), round(p.stop / RATE, 2)) for p in found] == [(3.01, 3.29), (5.31, 5.44)]


def test_pauses_are_found_under_noise():
    noisy = speech(2, 0.3, 2) + np.random.default_rng(1).normal(0, 0.03, round(4.3 * RATE)).astype(np.float32)
    (pause,) = find_pauses(noisy)
    assert abs(pause.middle / RATE - 2.15) < 0.02


def test_sound_without_end_and_sound_of_nothing_have_no_pauses():
    assert find_pauses(np.zeros(0, np.float32)) == find_pauses(np.zeros(RATE, np.float32)) == []
    assert find_pauses(speech(5)) == []


def pause(middle: float, seconds: float) -> Pause:
    return Pause(round((middle - seconds / 2) * RATE), round((middle + seconds / 2) * RATE))


def test_as_few_pieces_as_can_be_and_of_those_the_longest_pauses():
    pauses = [pause(10, 0.3), pause(15, 0.9), pause(20, 0.5), pause(28, 0.1)]
    assert choose_cuts(44 * RATE, pauses) == [15 * RATE, 44 * RATE]
    assert choose_cuts(50 * RATE, pauses) == [28 * RATE, 50 * RATE]
    assert choose_cuts(45 * RATE, [pause(20, 0.3)]) == [20 * RATE, 45 * RATE]


def test_a_recording_without_a_pause_in_reach_cannot_be_cut():
    assert choose_cuts(60 * RATE, [pause(29, 0.5)]) is None
    assert choose_cuts(31 * RATE, [pause(1, 0.5), pause(30, 0.5)]) is None


@given(st.lists(st.integers(1, 900), max_size=40, unique=True), st.integers(901, 2_000), st.integers(20, 60))
@settings(deadline=None)
def test_pieces_tile_the_recording_within_their_limits_and_no_way_has_fewer(middles, total, longest):
    pauses = [Pause(middle - 1, middle + 2) for middle in sorted(middles)]
    stops = choose_cuts(total, pauses, 5, longest)
    least = {0: 0}
    for end in [*sorted(middles), total]:
        ways = [count + 1 for begin, count in least.items() if 5 <= end - begin <= longest]
        if ways:
            least[end] = min(ways)
    if stops is None:
        assert total not in least
        return
    assert stops[-1] == total
    assert set(stops[:-1]) <= set(middles)
    assert all(5 <= stop - start <= longest for start, stop in pieces_of(stops))
    assert len(stops) == least[total]


@given(TEXTS)
@settings(deadline=None)
def test_every_character_but_blanks_is_in_exactly_one_word(text):
    words = words_of(text)
    assert "".join(text[word.start : word.stop] for word in words).replace(" ", "") == text.replace(" ", "")
    assert all(one.stop <= other.start for one, other in pairwise(words))


@given(TEXTS, st.lists(TEXTS, min_size=1, max_size=5))
@settings(max_examples=100, deadline=None)
def test_no_word_is_lost_doubled_or_moved_whatever_was_decoded(text, decoded):
    words = words_of(text)
    found = assign(words, decoded)
    assert len(found.bounds) == len(decoded) + 1
    assert list(found.bounds) == sorted(found.bounds)
    parts = texts_of(text, words, found.bounds)
    assert "".join(parts).replace(" ", "") == text.replace(" ", "")


def distance(one: str, other: str) -> int:
    row = list(range(len(other) + 1))
    for number, letter in enumerate(one, 1):
        before, row[0] = row[0], number
        for place, own in enumerate(other, 1):
            before, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, before + (letter != own))
    return row[-1]


@given(
    st.lists(st.text("ab", min_size=1, max_size=4), min_size=1, max_size=6), st.text("ab ", max_size=9), st.text("ab")
)
@settings(deadline=None)
def test_two_pieces_get_the_words_that_differ_least_and_the_margin_is_to_the_next_best(words, one, other):
    spans = words_of(" ".join(words))
    one, other = (" ".join(text.split()) for text in (one, other))

    def cost(bound: int) -> int:
        pairs = ((words[:bound], one), (words[bound:], other))
        return sum(distance("".join(f"{w} " for w in part), f"{text} " if text else "") for part, text in pairs)

    costs = sorted(cost(bound) for bound in range(len(words) + 1))
    found = assign(spans, [one, other])
    assert cost(found.bounds[1]) == costs[0]
    assert found.margins == (costs[1] - costs[0],)
    if found.margins[0]:
        assert sum(found.distances) == costs[0]


def cut(decoded: list[str], text: str = " ".join(SENTENCES), **rules):
    return cut_recording(7, speech(20, 0.5, 20, 0.5, 20), text, lambda _pieces: decoded, Rules(**rules))


def test_words_go_to_the_pieces_that_they_are_heard_in_through_a_bad_decoding():
    found = cut(["der hunt bält laut garten", "Heute Schein die Sonne entlich", "wir faren morgen ans mehr"])
    assert (found.problem, list(found.texts)) == ("", SENTENCES)
    assert [round(stop / RATE, 1) for stop in found.stops] == [20.2, 40.8, 61.0]
    assert found.margin > 2


def test_what_is_not_heard_is_refused_with_the_figure():
    assert cut(["something quite different", "was said over here", "and there as well"]).problem.startswith(
        "its text is not what is heard: CER 0."
    )
    assert (
        "no word of its text is heard in piece 1"
        in cut([*SENTENCES[:1], "", SENTENCES[2]], SENTENCES[0] + SENTENCES[2]).problem
    )
    unsure = cut(["ja ja ja ja", "ja ja ja", "ja ja ja ja"], "ja " * 12)
    assert unsure.problem == "two places in its text fit a cut as well: margin 0, at least 2 characters"
    assert unsure.texts == ()


def test_a_piece_whose_words_are_others_is_refused_though_the_whole_agrees():
    wrong = [SENTENCES[0] * 4, "Kaum jemand kam vorbei", SENTENCES[2] * 4]
    text = f"{SENTENCES[0] * 4} {SENTENCES[1]} {SENTENCES[2] * 4}"
    assert cut(wrong, text).problem.startswith("a piece's text is not what is heard: CER 0.")


def test_a_recording_that_never_pauses_is_refused_before_it_is_decoded():
    found = cut_recording(1, speech(40), "egal", lambda _: [])
    assert found.problem == "no pauses to cut it at, into pieces of at most 29.5 s"
    assert found.num_samples == 40 * RATE
    assert (SHORTEST, LONGEST) == (48_000, 472_000)
