"""The real service on all hand-made hostile inputs and a sample of mutated ones; thousands by `make hostile`."""

from tests.support.hostile_run import hostile_rows, run_hostile


def test_the_service_outlives_hostile_audio_and_accounts_for_every_row(demo_model, tmp_path):
    seen = run_hostile(tmp_path, hostile_rows(seed=1, count=100), demo_model, print)
    assert seen.wrong == []
