"""One undisturbed run, on a store with a very long path: what it makes, shows to the world, and leaves behind."""

import subprocess
import sys

from tests.support.runs import left_behind, shared_memory

LOOPBACK = {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
ONE_MEGABYTE = 1_000_000


def test_it_ends_well_with_five_actors_and_the_store_verifies(straight):
    assert straight.status == 0, straight.run.messages()
    assert straight.actors == 5
    command = [sys.executable, "-m", "preprocess.verify", "--store", str(straight.run.store)]
    assert subprocess.run(command, check=False).returncode == 0


def test_it_says_nothing_on_stderr(straight):
    assert straight.run.messages() == ""


def test_nothing_is_left_of_it_but_the_store(straight):
    assert left_behind(straight.run.store) == []
    assert {path.name for path in straight.run.store.iterdir()} == {
        *("COMPLETE", "README.md", "data", "index", "quarantine", "settings.json", "store.json")
    }
    assert {name for name in shared_memory() - straight.memory_before if "plasma" in name} == set()


def test_its_sockets_and_rays_listen_on_loopback_only(straight):
    assert straight.listening
    assert straight.listening <= LOOPBACK


def test_rays_servers_ask_for_a_token(straight):
    assert straight.auth_modes == {"token"}


def test_features_do_not_pass_through_rays_object_store(straight):
    assert 0 <= straight.object_store_bytes < ONE_MEGABYTE
