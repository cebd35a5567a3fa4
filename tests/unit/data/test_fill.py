"""The compiled loops refuse what would make them read or write beyond their arrays, before anything is written."""

import numpy as np
import pytest

from trainer.data.fill import fill_features, fill_labels

LABELS = np.arange(8, dtype=np.int32)
LABELS.flags.writeable = False


@pytest.mark.parametrize(
    ("start", "count", "width"),
    [(-1, 3, 2), (6, 3, 2), (0, 9, 8), (0, 0, 2), (0, -2, 2), (0, 3, -1), (0, 3, 9), (0, 8, 7), (1 << 62, 1 << 62, 1)],
)
def test_labels_that_are_not_there_or_find_no_room_are_refused(start, count, width):
    inputs, places, targets = (np.zeros(6, np.int64) for _ in range(3))
    rows = np.array([[0, start], [2, count], [1, width], [0, 2], [0, 0]])
    with pytest.raises(ValueError, match="labels"):
        fill_labels(LABELS, rows, inputs, places, targets)
    assert not inputs.any()
    assert not targets.any()


@pytest.mark.parametrize(("room", "size"), [(16, 20), (16, -4), (16, 6), (18, 8)])
def test_features_that_find_no_room_or_are_no_whole_frames_are_refused(room, size):
    memory, payload = np.zeros(64, np.uint8), np.ones(64, np.uint8)
    blocks = np.array([memory.ctypes.data, memory.ctypes.data + 16])
    payloads = np.array([payload.ctypes.data] * 2)
    with pytest.raises(ValueError, match="as many frames as its row"):
        fill_features(blocks, np.array([16, room]), payloads, np.array([8, size]), np.zeros((2, 4), np.uint8))
    assert not memory.any()
