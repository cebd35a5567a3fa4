"""Planted faults in the watchdog, cleanup, locking, processes and the number of actors."""

from tests.support.planted.fault import Fault

_WATCHDOG = "tests/unit/test_watchdog.py::"
_CONTROL = "tests/unit/test_control.py::"
_CLEANUP = "tests/fault/test_cleanup.py::"
_PREPARE = "tests/unit/test_preparation.py::"
_PROCESSES = "tests/unit/test_processes.py::"
_TUNING = "tests/property/test_tuning.py::"
_RECYCLING = "tests/unit/test_recycling.py::"
_CORES = "tests/unit/test_cores.py::"

WATCHDOG = (
    Fault(
        "watchdog/silent-one-still-admits",
        "preprocess/governor/control.py",
        "if self.level >= Level.PAUSE or not self.watchdog.is_beating():",
        "if self.level >= Level.PAUSE:",
        (f"{_CONTROL}test_a_silent_watchdog_admits_nothing",),
    ),
    Fault(
        "watchdog/always-fresh",
        "preprocess/governor/watchdog.py",
        "return abs(self.now() - self.verdict.beat_at) < SILENT_SECONDS",
        "return True",
        (f"{_WATCHDOG}test_a_watchdog_that_was_not_heard_of_for_five_seconds_does_not_beat_until_it_is",),
    ),
    # The kills of these tests are recorded, not made.
    Fault(
        "watchdog/signals-0-and-minus-1",
        "preprocess/governor/watchdog.py",
        "frozenset(pid for pid in self.actor_pids if pid > 1)",
        "frozenset(self.actor_pids)",
        (f"{_WATCHDOG}test_numbers_that_name_no_single_process_are_never_signalled",),
    ),
    Fault(
        "watchdog/kills-twice",
        "preprocess/governor/watchdog.py",
        "for pid in pids - self._ended:",
        "for pid in pids:",
        (f"{_WATCHDOG}test_memory_at_stop_kills_exactly_the_actors_once",),
    ),
    Fault(
        "watchdog/a-number-used-again-is-spared",
        "preprocess/governor/watchdog.py",
        "        self._ended &= pids\n",
        "",
        (f"{_WATCHDOG}test_an_actor_that_is_new_is_killed_as_well_even_with_the_number_of_a_dead_one",),
    ),
    Fault(
        "watchdog/kills-in-an-emergency",
        "preprocess/governor/watchdog.py",
        "if state.memory.level is Level.STOP:",
        "if state.memory.level >= Level.EMERGENCY:",
        (f"{_WATCHDOG}test_below_stop_nobody_is_killed",),
    ),
    Fault(
        "watchdog/kills-for-a-full-disk",
        "preprocess/governor/watchdog.py",
        "if state.memory.level is Level.STOP:",
        "if state.level is Level.STOP:",
        (f"{_WATCHDOG}test_a_full_disk_kills_nobody",),
    ),
)

CLEANUP = (
    Fault(
        "cleanup/follows-a-link",
        "preprocess/governor/cleanup.py",
        "os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC",
        "os.O_DIRECTORY | os.O_CLOEXEC",
        (f"{_CLEANUP}test_a_folder_that_is_missing_a_link_or_a_file_is_left_alone",),
    ),
    Fault(
        "cleanup/follows-a-link-inside",
        "preprocess/governor/cleanup.py",
        "with opened_folder(Path(path.name), parent) as descriptor:",
        "with opened_folder(path.resolve()) as descriptor:",
        (f"{_CLEANUP}test_a_folder_that_becomes_a_link_once_it_was_looked_at_is_not_followed",),
    ),
    Fault(
        "cleanup/removes-a-live-owners-file",
        "preprocess/governor/cleanup.py",
        "owner.host == host and not is_alive(owner.pid)",
        "owner.host == host",
        (f"{_CLEANUP}test_only_a_process_of_this_host_that_is_gone_is_provably_dead",),
    ),
    Fault(
        "cleanup/removes-another-hosts-file",
        "preprocess/governor/cleanup.py",
        "owner is not None and owner.host == host and not",
        "owner is not None and not",
        (f"{_CLEANUP}test_dead_owners_files_go_and_all_others_stay",),
    ),
    Fault(
        "cleanup/takes-the-driver-for-the-writer",
        "preprocess/governor/cleanup.py",
        'int(match["driver"]), int(match["pid"])',
        'int(match["driver"]), int(match["driver"])',
        (f"{_CLEANUP}test_a_partial_file_names_its_owner",),
    ),
    Fault(
        "cleanup/removes-folders-that-look-like-partial-files",
        "preprocess/governor/cleanup.py",
        "return stat.S_ISREG(mode) and is_provably_dead",
        "return is_provably_dead",
        (f"{_CLEANUP}test_a_folder_or_link_with_a_dead_owners_name_is_not_a_partial_file",),
    ),
    Fault(
        "cleanup/dry-run-removes",
        "preprocess/governor/cleanup.py",
        "        if not dry_run and not error:",
        "        if not error:",
        (f"{_CLEANUP}test_a_dry_run_tells_the_same_and_removes_nothing",),
    ),
    Fault(
        "cleanup/removes-outside-partial",
        "preprocess/preparation.py",
        "removals = remove_all_partials(layout.partial)",
        "removals = remove_all_partials(layout.root)",
        (f"{_PREPARE}test_preparing_again_keeps_what_is_committed",),
    ),
    Fault(
        "cleanup/writer-does-not-name-its-process",
        "preprocess/worker.py",
        "{self._job.owner}-{os.getpid()}",
        "{self._job.owner}",
        ("tests/unit/test_worker.py::test_a_workers_partial_file_names_its_process",),
    ),
)

PROCESSES = (
    Fault(
        "locking/no-lock",
        "preprocess/preparation.py",
        "            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)\n",
        "            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)\n",
        (f"{_PREPARE}test_a_second_run_is_refused_with_the_number_of_the_first",),
    ),
    Fault(
        "locking/somebody-elses-folder-taken",
        "preprocess/preparation.py",
        "    if strange:\n",
        "    if len(strange) > 100:\n",
        (f"{_PREPARE}test_a_folder_with_other_things_is_refused_and_left_alone",),
    ),
    # With these a run would end other people's processes: name only tests that look and end nothing.
    Fault(
        "processes/another-stores-belong",
        "preprocess/processes.py",
        "if process.environ().get(MARK) == mark:",
        "if MARK in process.environ():",
        (f"{_PROCESSES}test_a_process_with_the_stores_mark_belongs_and_one_with_anothers_does_not",),
    ),
    Fault(
        "processes/readers-belong",
        "preprocess/processes.py",
        'any(file.mode != "r" and file.path.startswith(folder) for',
        "any(file.path.startswith(folder) for",
        (f"{_PROCESSES}test_who_writes_into_rays_folder_belongs_and_who_reads_there_does_not",),
    ),
    Fault(
        "processes/this-one-belongs",
        "preprocess/processes.py",
        "if process.pid not in spared and _belongs",
        "if _belongs",
        (f"{_PROCESSES}test_this_process_never_belongs",),
    ),
    Fault(
        "processes/a-copied-store-is-the-same",
        "preprocess/processes.py",
        'return f"{store_uuid}-{status.st_dev:x}-{status.st_ino:x}"',
        'return f"{store_uuid}-{status.st_dev:x}"',
        (f"{_PROCESSES}test_a_copied_store_has_a_mark_of_its_own",),
    ),
    Fault(
        "processes/a-zombie-lives",
        "preprocess/processes.py",
        "return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)",
        "return bool(psutil.Process(pid).status())",
        (f"{_PROCESSES}test_a_zombie_runs_no_more",),
    ),
)

TUNING = (
    Fault(
        "tuning/no-core-left",
        "preprocess/governor/tuning.py",
        "return max(1, self.cores - 1)",
        "return self.cores",
        (f"{_TUNING}test_busy_actors_get_every_core_but_the_systems",),
    ),
    Fault(
        "tuning/memory-ignored",
        "preprocess/governor/tuning.py",
        "number < most_actors(room.cores) and actor_bytes <= room.left_bytes",
        "number < most_actors(room.cores)",
        (f"{_TUNING}test_memory_bounds_the_number_at_the_start_and_later",),
    ),
    Fault(
        "tuning/short-memory-costs-nobody",
        "preprocess/governor/tuning.py",
        "return Tuning(max(1, tuning.wanted - 1), since=load)",
        "return Tuning(tuning.wanted, since=load)",
        (f"{_TUNING}test_short_memory_costs_an_actor_a_window_down_to_one",),
    ),
    Fault(
        "tuning/quota-of-the-cgroup-ignored",
        "preprocess/governor/cores.py",
        "min([cores, *(math.floor(quota) for quota in _quotas(proc, cgroup))])",
        "cores",
        (f"{_CORES}test_a_quota_of_less_than_two_cores_keeps_one_busy",),
    ),
    Fault(
        "tuning/successor-inherits-the-count",
        "preprocess/governor/recycling.py",
        "        self._units[actor] = 0\n",
        "",
        (f"{_RECYCLING}test_an_actor_goes_after_its_units_and_its_successor_counts_from_nothing",),
    ),
    Fault(
        "tuning/growth-counted-from-nothing",
        "preprocess/governor/recycling.py",
        "self._first_bytes.setdefault(actor, memory_bytes)",
        "self._first_bytes.setdefault(actor, 0)",
        (f"{_RECYCLING}test_an_actor_goes_when_it_has_grown_since_its_first_unit",),
    ),
)

FAULTS = (*WATCHDOG, *CLEANUP, *PROCESSES, *TUNING)
