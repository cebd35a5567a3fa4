"""The gate's timing: what is done for the first time counts in no speed, on every device alike."""

from types import SimpleNamespace

import numpy as np
import pytest

from trainer.gate import measure


@pytest.mark.parametrize(("seconds", "speed"), [([9.0, 1.0, 1.0], 3.0), ([4.0], 2.0)])
def test_the_first_of_several_clips_is_heard_and_not_timed(seconds, speed, monkeypatch):
    """Clips of 8 s, 2 s and 4 s; of a single one there is no other time."""
    took, told = iter(seconds), []
    monkeypatch.setattr(measure, "check_calls", lambda *_: [])
    monkeypatch.setattr(measure, "_one_row", lambda *_: next(took))
    split = SimpleNamespace(name="test", duration=np.array([8.0, 2.0, 4.0]))
    reference = SimpleNamespace(model=SimpleNamespace(model=SimpleNamespace(device="cpu")))
    run = measure._run(reference, [], split, range(len(seconds)), lambda: told.append(1))
    assert run.original_speed == speed
    assert len(told) == len(seconds)
