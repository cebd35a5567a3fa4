"""Planted faults in budgets, reservations, levels and sensors."""

from tests.support.planted.fault import Fault

_LEDGER = "tests/property/test_ledger.py::"
_POLICY = "tests/property/test_policy.py::"
_SENSORS = "tests/unit/test_sensors.py::"
_MEMORY = "tests/unit/test_process_memory.py::"
_WATCHDOG = "tests/unit/test_watchdog.py::"
_CONTROL = "tests/unit/test_control.py::"
_BUDGETS = "tests/unit/test_budgets.py::"
_HEADROOM = "tests/unit/test_headroom.py::"
_USAGE = "tests/unit/test_usage.py::"
_SENSOR_FILE = "preprocess/governor/sensors.py"
_POLICY_FILE = "preprocess/governor/policy.py"

LEDGER = (
    Fault(
        "ledger/forgets-to-release",
        "preprocess/governor/ledger.py",
        "        self._reserved.pop(name, None)\n",
        "        self._reserved.get(name, None)\n",
        (f"{_LEDGER}test_a_unit_that_does_not_fit_waits_and_is_admitted_once_another_gave_up",),
    ),
    Fault(
        "ledger/settled-without-what-was-used",
        "preprocess/governor/ledger.py",
        "        self.used_bytes += allocated_bytes\n",
        "",
        (f"{_LEDGER}test_a_unit_without_a_reservation_cannot_be_settled_and_one_with_it_not_twice",),
    ),
    Fault(
        "ledger/standing-bytes-handed-out",
        "preprocess/governor/ledger.py",
        "return self.standing_bytes + sum(self._reserved.values())",
        "return sum(self._reserved.values())",
        (f"{_LEDGER}test_standing_bytes_are_never_handed_out",),
    ),
    Fault(
        "ledger/mount-ignored",
        "preprocess/governor/ledger.py",
        "return max(0, min(self.quota_left_bytes, self.mount_left_bytes))",
        "return max(0, self.quota_left_bytes)",
        (f"{_LEDGER}test_nothing_is_admitted_before_the_first_scan",),
    ),
    Fault(
        "ledger/reserve-of-the-mount-handed-out",
        "preprocess/governor/ledger.py",
        "return self.free_bytes - self.reserve_bytes - self.reserved_bytes",
        "return self.free_bytes - self.reserved_bytes",
        (f"{_LEDGER}TestGoverned",),
    ),
    Fault(
        "ledger/open-shards-counted-twice",
        "preprocess/governor/ledger.py",
        "self.used_bytes = used_bytes - open_bytes",
        "self.used_bytes = used_bytes",
        (f"{_LEDGER}test_open_shards_count_by_their_reservations_and_not_by_what_a_scan_finds_of_them",),
    ),
    Fault(
        "ledger/open-shards-not-added-back-to-free",
        "preprocess/governor/ledger.py",
        "self.free_bytes = free_bytes + open_bytes",
        "self.free_bytes = free_bytes",
        (f"{_LEDGER}test_open_shards_count_by_their_reservations_and_not_by_what_a_scan_finds_of_them",),
    ),
    Fault(
        "ledger/apparent-size-instead-of-blocks",
        "preprocess/usage.py",
        "                total += status.st_blocks * 512",
        "                total += status.st_size",
        (f"{_USAGE}test_holes_take_no_room",),
    ),
    Fault(
        "ledger/a-file-with-two-names-counted-twice",
        "preprocess/usage.py",
        "            if (status.st_dev, status.st_ino) not in seen:",
        "            if True:",
        (f"{_USAGE}test_a_file_with_two_names_counts_once",),
    ),
)

ADMISSION = (
    Fault(
        "admission/worst-case-forgotten",
        "preprocess/governor/admission.py",
        "need = worst if row_bytes is None else",
        "need = FIXED_BYTES if row_bytes is None else",
        (f"{_LEDGER}test_a_split_without_a_forecast_reserves_the_worst_case",),
    ),
    Fault(
        "admission/worst-case-without-labels",
        "preprocess/governor/admission.py",
        "(spec.payload_bytes(num_frames) + ROW_EXTRA_BYTES) + FIXED_BYTES",
        "spec.payload_bytes(num_frames)",
        (f"{_LEDGER}test_no_allowed_clip_passes_the_worst_case",),
    ),
    Fault(
        "admission/outgrown-not-doubled",
        "preprocess/governor/admission.py",
        "2 * too_little if too_little >= worst else min(2 * too_little, worst)",
        "too_little",
        (f"{_LEDGER}test_a_unit_that_was_outgrown_reserves_twice_as_much_the_next_time",),
    ),
    Fault(
        "admission/given-up-keeps-its-reservation",
        "preprocess/governor/admission.py",
        "        self.ledger.release(_name(unit))\n",
        "",
        (f"{_LEDGER}test_a_unit_that_does_not_fit_waits_and_is_admitted_once_another_gave_up",),
    ),
    Fault(
        "admission/committed-but-not-counted",
        "preprocess/governor/admission.py",
        "        self.ledger.settle(_name(unit), allocated_bytes)\n",
        "        self.ledger.release(_name(unit))\n",
        (f"{_LEDGER}test_a_committed_unit_counts_with_what_it_takes",),
    ),
    Fault(
        "admission/starts-with-too-little-beside-others",
        "preprocess/governor/admission.py",
        "if not self._open and self._least_bytes(unit) <= left < need:",
        "if self._least_bytes(unit) <= left < need:",
        (f"{_LEDGER}test_while_another_unit_is_open_a_unit_waits_rather_than_start_with_too_little",),
    ),
    Fault(
        "admission/headroom-ignores-open-units",
        "preprocess/governor/headroom.py",
        "reserved = sum(need for need in open_needs if need > SMALL_BYTES)",
        "reserved = 0",
        (f"{_HEADROOM}test_a_large_one_starts_beside_another_only_where_both_fit",),
    ),
    Fault(
        "admission/memory-not-asked",
        "preprocess/governor/control.py",
        "return self.admission.admit(unit) if self._fits_memory(unit) else None",
        "return self.admission.admit(unit)",
        (f"{_CONTROL}test_a_unit_whose_source_takes_much_memory_waits_for_another_such",),
    ),
    Fault(
        "admission/goes-on-during-a-pause",
        "preprocess/governor/control.py",
        "if self.level >= Level.PAUSE or not self.watchdog.is_beating():",
        "if not self.watchdog.is_beating():",
        (f"{_CONTROL}test_nothing_is_admitted_from_pause_on",),
    ),
    Fault(
        "admission/shard-grows-past-its-reservation",
        "shared/shard.py",
        "if self._max_bytes is not None and needed > self._max_bytes:",
        "if self._max_bytes is not None and self._durable.file.tell() > self._max_bytes:",
        ("tests/unit/test_shard.py::test_a_shard_never_grows_past_its_limit_and_is_given_up_before",),
    ),
    Fault(
        "admission/worker-not-told-its-limit",
        "preprocess/tasks.py",
        "crashed_rows, max_bytes, batch_bytes)",
        "crashed_rows, None, batch_bytes)",
        ("tests/unit/test_runner.py::test_a_worker_is_told_how_much_it_may_write",),
    ),
)

BUDGETS = (
    Fault(
        "estimate/reserve-forgotten",
        "preprocess/estimate.py",
        "on_mount = max(0, found.free_bytes - budgets.reserve_bytes)",
        "on_mount = max(0, found.free_bytes)",
        (f"{_BUDGETS}test_a_job_must_fit_the_mount_above_its_reserve",),
    ),
    Fault(
        "estimate/budget-not-checked",
        "preprocess/estimate.py",
        "if found.missing_bytes and total > budgets.disk_bytes:",
        "if found.missing_bytes and found.store_bytes > budgets.disk_bytes:",
        (f"{_BUDGETS}test_a_job_must_fit_its_budget_with_its_scratch",),
    ),
    Fault(
        "estimate/default-budget-without-the-reserve",
        "preprocess/governor/budgets.py",
        "used_bytes + max(0, free_bytes - reserve)",
        "used_bytes + free_bytes",
        (f"{_BUDGETS}test_without_a_budget_all_that_is_free_above_the_reserve_may_be_used",),
    ),
    Fault(
        "estimate/larger-default-reserve",
        "preprocess/governor/budgets.py",
        "reserve = min(DEFAULT_RESERVE_BYTES,",
        "reserve = max(DEFAULT_RESERVE_BYTES,",
        (f"{_BUDGETS}test_ten_gigabytes_stay_free_or_a_twentieth_of_a_small_disk",),
    ),
    Fault(
        "estimate/more-actors-than-cores-finish-sooner",
        "preprocess/estimate.py",
        "busy, elapsed = min(actors, cores),",
        "busy, elapsed = actors,",
        ("tests/unit/test_plan_command.py::test_actors_beyond_the_cores_do_not_shorten_the_work_on_a_core",),
    ),
)

POLICY = (
    Fault(
        "policy/down-without-a-dwell",
        _POLICY_FILE,
        "track.calm_seconds < min(dwell_seconds * track.dwell_factor, MAX_DWELL_SECONDS):",
        "track.calm_seconds < 0:",
        (f"{_POLICY}test_pressure_holds_the_pause_until_it_is_ten_points_lower_for_thirty_seconds",),
    ),
    Fault(
        "policy/missing-reading-loosens",
        _POLICY_FILE,
        "        return _rise(track, Level.PAUSE, now)\n    return replace(track, calm_seconds=None)",
        "        return _rise(track, Level.PAUSE, now)\n    return Track(read_at=track.read_at)",
        (f"{_POLICY}test_a_failed_reading_never_loosens",),
    ),
    Fault(
        "policy/blindness-is-no-pause",
        _POLICY_FILE,
        "        return _rise(track, Level.PAUSE, now)\n    return replace",
        "        return track\n    return replace",
        (f"{_POLICY}test_after_five_seconds_without_a_reading_no_new_work_starts",),
    ),
    Fault(
        "policy/psi-ignored",
        _POLICY_FILE,
        "floor = Level.PAUSE if pressed is not None and pressed >= PSI_SECONDS else Level.NORMAL",
        "floor = Level.NORMAL",
        (f"{_POLICY}test_ten_seconds_of_memory_pressure_are_a_pause_and_less_is_nothing",),
    ),
    Fault(
        "policy/no-margin",
        _POLICY_FILE,
        "held = max(ladder.level_of(share + LEAVE_MARGIN), floors[1])",
        "held = max(ladder.level_of(share), floors[1])",
        (f"{_POLICY}test_a_level_is_held_until_the_reading_lies_ten_points_below_its_entry",),
    ),
    Fault(
        "policy/stop-never",
        _POLICY_FILE,
        "Level.EMERGENCY: 0.90, Level.STOP: 0.95},",
        "Level.EMERGENCY: 0.90, Level.STOP: 9.5},",
        (f"{_WATCHDOG}test_memory_at_stop_kills_exactly_the_actors_once",),
    ),
    Fault(
        "policy/full-disk-goes-on",
        _POLICY_FILE,
        "    if signals.no_space:\n        return _rise(track, Level.STOP, now)\n",
        "",
        (f"{_POLICY}test_no_space_stops_at_once_whatever_else_is_read",),
    ),
    Fault(
        "policy/reserve-is-no-emergency",
        _POLICY_FILE,
        "return Level.EMERGENCY if self.free_bytes < self.reserve_bytes or not self.inodes_free else Level.NORMAL",
        "return Level.EMERGENCY if not self.inodes_free else Level.NORMAL",
        (
            f"{_POLICY}test_less_free_than_the_reserve_is_an_emergency_at_once_and_over_within_ten_seconds_of_space_coming_back",
        ),
    ),
    Fault(
        "policy/no-inodes-is-no-emergency",
        _POLICY_FILE,
        "if self.free_bytes < self.reserve_bytes or not self.inodes_free else",
        "if self.free_bytes < self.reserve_bytes else",
        (f"{_POLICY}test_a_mount_without_inodes_is_an_emergency_however_much_space_is_free",),
    ),
    Fault(
        "policy/a-clock-that-jumps-counts-as-calm",
        _POLICY_FILE,
        "min(max(0.0, now - track.read_at), MAX_STEP_SECONDS)",
        "max(0.0, now - track.read_at)",
        (f"{_POLICY}test_a_clock_that_jumps_shortens_no_dwell",),
    ),
    Fault(
        "policy/throttle-holds-nobody-back",
        _POLICY_FILE,
        "return num_actors if level is Level.NORMAL else min(num_actors, max(1, num_actors // 2))",
        "return num_actors",
        (f"{_POLICY}test_half_of_the_actors_work_when_throttled_and_one_at_least",),
    ),
)

SENSORS = (
    Fault(
        "sensors/roots-own-space-counted",
        _SENSOR_FILE,
        "found.f_bavail * found.f_frsize",
        "found.f_bfree * found.f_frsize",
        (f"{_SENSORS}test_free_space_is_what_an_ordinary_user_may_fill",),
    ),
    Fault(
        "sensors/inactive-cache-not-subtracted",
        _SENSOR_FILE,
        "used = int(self.usage.read()) - _values(self.statistics.read())[self.inactive]",
        "used = int(self.usage.read())",
        (f"{_SENSORS}test_a_cgroup_2_limit_counts_without_the_inactive_file_cache",),
    ),
    Fault(
        "sensors/rss-summed-instead-of-pss",
        "preprocess/governor/process_memory.py",
        '"\\nPss:"',
        '"\\nRss:"',
        (f"{_MEMORY}test_it_is_the_sum_over_the_processes_that_are_followed",),
    ),
    Fault(
        "sensors/cgroup-limit-ignored",
        _SENSOR_FILE,
        "found = [_machine_reading(self._machine.read()), *(group.read() for group in self._groups)]",
        "found = [_machine_reading(self._machine.read())]",
        (f"{_SENSORS}test_the_tightest_limit_of_all_groups_around_us_counts",),
    ),
    Fault(
        "sensors/limits-above-ours-ignored",
        _SENSOR_FILE,
        "for group in (folder, *folder.parents) if",
        "for group in (folder,) if",
        (f"{_SENSORS}test_the_tightest_limit_of_all_groups_around_us_counts",),
    ),
    Fault(
        "sensors/failed-reading-is-nothing-used",
        _SENSOR_FILE,
        "        except (OSError, ValueError, KeyError, IndexError):\n            return None",
        "        except (OSError, ValueError, KeyError, IndexError):\n            return MemoryReading(0, 1)",
        (f"{_SENSORS}test_a_machine_that_cannot_be_understood_is_a_failed_reading",),
    ),
    Fault(
        "sensors/unreadable-file-taken-for-absent",
        _SENSOR_FILE,
        "            return cls(_NO_DESCRIPTOR)",
        "            return None",
        (f"{_SENSORS}test_a_file_that_cannot_be_read_is_a_failed_reading_and_not_an_absent_one",),
    ),
    Fault(
        "sensors/full-stalls-instead-of-some",
        _SENSOR_FILE,
        '"some avg10="',
        '"full avg10="',
        (f"{_SENSORS}test_memory_pressure_is_the_ten_second_share_in_which_some_task_waited",),
    ),
    Fault(
        "sensors/memory-budget-ignores-the-machine",
        "preprocess/governor/control.py",
        "return tightest((own, machine, *machine.others), machine.psi_percent)",
        "return own",
        (f"{_CONTROL}test_of_a_memory_budget_and_the_machine_the_one_nearer_to_its_limit_counts",),
    ),
    Fault(
        "sensors/room-is-counted-under-the-largest-share-alone",
        "preprocess/governor/policy.py",
        "for reading in (self, *self.others))",
        "for reading in (self,))",
        ("tests/unit/test_headroom.py::test_the_tightest_room_counts_not_the_largest_share",),
    ),
    Fault(
        "sensors/memory-budget-loosens-when-its-reading-fails",
        "preprocess/governor/control.py",
        "        if used is None:\n            return None\n",
        "        if used is None:\n            return machine\n",
        (f"{_CONTROL}test_a_memory_budget_whose_processes_cannot_be_read_is_a_failed_reading",),
    ),
)

FAULTS = (*LEDGER, *ADMISSION, *BUDGETS, *POLICY, *SENSORS)
