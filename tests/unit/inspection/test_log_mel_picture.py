import subprocess
import sys

import numpy as np
import pytest
from matplotlib.image import imread
from transformers import WhisperFeatureExtractor

from preprocess.inspection.log_mel_picture import bins_of, save_log_mel_png

GERMAN = "Über fünf größere Straßen fährt man an die Küste; der Süßwasserfisch kostet 12 $ oder 11 $."


def log_mel(num_frames, num_mel_bins=128):
    return np.random.default_rng(0).uniform(-0.7, 1.3, (num_frames, num_mel_bins)).astype(np.float32)


def picture(path, num_frames=37, *, num_mel_bins=128, title="row 7", transcript=GERMAN):
    duration = num_frames / 100
    values = log_mel(num_frames, num_mel_bins)
    save_log_mel_png(path, values, title=title, transcript=transcript, duration_seconds=duration)
    return imread(path)


def ink_of_transcript(image):
    return float((1 - image[-40:, :, :3]).sum())


@pytest.mark.parametrize(("num_frames", "num_mel_bins"), [(1, 128), (37, 80), (3_000, 128)])
def test_clips_from_one_frame_to_thirty_seconds_become_a_picture(tmp_path, num_frames, num_mel_bins):
    height, width, _ = picture(tmp_path / "clip.png", num_frames, num_mel_bins=num_mel_bins).shape
    assert 400 < height < 2_000
    assert 1_000 < width < 2_400


def test_a_longer_transcript_makes_a_higher_picture_and_leaves_the_mel_image_its_room(tmp_path):
    short = picture(tmp_path / "short.png", transcript="Ja.")
    long = picture(tmp_path / "long.png", transcript=GERMAN * 9)
    assert long.shape[0] > short.shape[0]


def test_umlauts_keep_their_dots(tmp_path):
    dots, none = (picture(tmp_path / "clip.png", transcript=words) for words in ("ÄÖÜ äöü", "AOU aou"))
    assert ink_of_transcript(dots) > ink_of_transcript(none)


@pytest.mark.filterwarnings("error")
def test_dollars_and_control_characters_are_drawn_as_text_without_a_warning(tmp_path):
    assert picture(tmp_path / "clip.png", title="$_1.mp3", transcript="Füße $x_1^$ \\frac{\n\x1b ẞ „so“ …").size


def test_a_row_without_a_transcript_still_becomes_a_picture(tmp_path):
    assert picture(tmp_path / "clip.png", transcript="").size


def test_the_same_row_gives_the_same_bytes(tmp_path):
    picture(tmp_path / "one.png")
    picture(tmp_path / "two.png")
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


@pytest.mark.parametrize("shape", [(0, 128), (128,), (1, 2, 3)])
def test_what_is_no_log_mel_is_refused(tmp_path, shape):
    values = np.zeros(shape, np.float32)
    with pytest.raises(ValueError, match="expected num_frames x num_mel_bins"):
        save_log_mel_png(tmp_path / "x.png", values, title="", transcript="", duration_seconds=0.0)


def test_hertz_stand_where_whispers_mel_filters_peak():
    filters = WhisperFeatureExtractor(feature_size=128).mel_filters
    hertz = np.linspace(0, 8_000, filters.shape[0])
    bins = bins_of((1_000, 2_000, 4_000), 128)
    assert np.allclose(hertz[filters[:, np.round(bins).astype(int)].argmax(axis=0)], (1_000, 2_000, 4_000), atol=50)


def test_importing_the_module_loads_neither_matplotlib_nor_librosa():
    code = "import sys\nimport preprocess.inspection.log_mel_picture\n"
    code += "sys.exit(bool({'matplotlib', 'librosa'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_drawing_leaves_pyplot_alone(tmp_path):
    code = """
import sys, numpy, preprocess.inspection.log_mel_picture
ones = numpy.ones((9, 80), numpy.float32)
preprocess.inspection.log_mel_picture.save_log_mel_png(sys.argv[1], ones, title="", transcript="", duration_seconds=0.1)
sys.exit("matplotlib.pyplot" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code, tmp_path / "x.png"], check=False).returncode == 0
