"""Planted faults in the scheduler, the run loop, the tally, the plan, settings, exit codes and the summary."""

from tests.support.planted.fault import Fault

_SCHEDULE = "tests/property/test_schedule.py::"
_RUNNER = "tests/unit/test_runner.py::"
_TALLY = "tests/property/test_tally.py::"
_RANGES = "tests/property/test_units.py::"
_UNITS = "tests/unit/test_units.py::"
_FORECAST = "tests/property/test_forecast.py::"
_ERRORS = "tests/unit/test_errors.py::"
_CLI = "tests/unit/test_cli.py::"
_SETTINGS = "tests/unit/test_settings.py::"
_SUMMARY = "tests/unit/test_summary.py::"

SCHEDULER = (
    Fault(
        "scheduler/unit-given-to-two-actors",
        "preprocess/schedule.py",
        "                del self._queue[place]\n",
        "                _ = self._queue[place]\n",
        (f"{_SCHEDULE}test_one_killer_among_64_rows_costs_three_deaths_and_three_more_and_a_halving_each",),
    ),
    Fault(
        "scheduler/bisection-never-ends",
        "preprocess/suspects.py",
        "return self.stop if self.stop - self.start == 1 else (self.start + self.stop) // 2",
        "return (self.start + self.stop) // 2",
        (f"{_SCHEDULE}test_a_row_that_kills_even_unread_ends_the_run_with_its_number",),
    ),
    Fault(
        "scheduler/recycling-loses-the-unit",
        "preprocess/schedule.py",
        "        if work is not None:\n            self._queue.appendleft(work.unit)\n",
        "",
        (f"{_SCHEDULE}test_an_actor_that_is_recycled_at_work_leaves_its_unit_to_others",),
    ),
    Fault(
        "scheduler/ends-a-busy-actor",
        "preprocess/schedule.py",
        "for actor in sorted(self._idle, reverse=True)[: max",
        "for actor in sorted(self._alive, reverse=True)[: max",
        (f"{_SCHEDULE}test_too_many_actors_end_only_once_they_are_idle",),
    ),
    Fault(
        "scheduler/one-death-convicts-a-row",
        "preprocess/suspects.py",
        "CRASHES_ALONE = 3",
        "CRASHES_ALONE = 1",
        (f"{_SCHEDULE}test_a_row_that_died_alone_less_than_three_times_is_no_killer",),
    ),
    Fault(
        "scheduler/second-killer-acquits-the-first",
        "preprocess/suspects.py",
        "crashed = suspect.crashed_rows | {suspect.start}",
        "crashed = frozenset({suspect.start})",
        (f"{_SCHEDULE}test_every_row_may_kill_and_exactly_those_are_quarantined",),
    ),
    Fault(
        "scheduler/deaths-at-the-start-go-on-for-ever",
        "preprocess/schedule.py",
        "            self._deaths_at_start += 1\n",
        "            self._deaths_at_start = 1\n",
        (f"{_SCHEDULE}test_actors_that_die_before_they_are_ready_end_the_run_with_a_reason",),
    ),
    Fault(
        "scheduler/limit-of-working-actors-ignored",
        "preprocess/schedule.py",
        "if self.limit is not None and len(self._busy) >= self.limit:",
        "if False:",
        (f"{_SCHEDULE}test_no_more_actors_work_than_the_limit_allows_and_a_tick_looks_again",),
    ),
    Fault(
        "scheduler/one-unit-without-room-blocks-all",
        "preprocess/schedule.py",
        "            if work is not None:\n                del self._queue[place]\n                return work\n",
        "            if work is not None:\n                del self._queue[place]\n            return work\n",
        (f"{_SCHEDULE}test_a_unit_that_is_not_admitted_waits_for_a_tick_and_others_go_first",),
    ),
    Fault(
        "scheduler/outgrown-unit-lost",
        "preprocess/schedule.py",
        "        self._queue.appendleft(self._busy.pop(actor).unit)\n",
        "        self._busy.pop(actor)\n",
        (f"{_RUNNER}test_a_unit_that_outgrows_its_reservation_is_made_again_with_more",),
    ),
)

LOOP = (
    Fault(
        "loop/settled-before-it-is-committed",
        "preprocess/runner.py",
        "                    self._assign(action, task, ActorState.WORKING)\n",
        "                    self._assign(action, task, ActorState.WORKING)\n"
        "                    self.governor.admission.committed(unit, 0)\n",
        (f"{_RUNNER}test_a_unit_holds_its_reservation_until_its_shard_is_committed_and_no_longer",),
    ),
    Fault(
        "loop/acknowledged-before-it-is-committed",
        "preprocess/worker.py",
        "                writer.seal(_metadata(task, writer.num_rows, len(quarantined)))\n",
        "                writer.seal(_metadata(task, writer.num_rows, len(quarantined)))\n"
        "                if task.unit.number:\n"
        "                    return self._report(unit, writer._durable.partial, quarantined, 0.0)\n",
        ("tests/unit/test_worker.py::test_every_row_is_written_or_quarantined_with_its_reason",),
    ),
    Fault(
        "loop/committed-bytes-not-counted",
        "preprocess/runner.py",
        "sum(path.stat().st_blocks * 512 for path in files if path.exists())",
        "0",
        (f"{_RUNNER}test_what_a_committed_unit_takes_is_counted_at_once",),
    ),
    Fault(
        "loop/dead-actors-reservation-kept",
        "preprocess/measures.py",
        "            self.governor.admission.given_up(work.unit)\n",
        "            pass\n",
        (f"{_RUNNER}test_an_actor_that_dies_gives_its_reservation_back_and_its_unit_is_made_by_another",),
    ),
    Fault(
        "loop/outgrown-units-reservation-kept",
        "preprocess/runner.py",
        "            self.governor.admission.given_up(work.unit, outgrown",
        "            dict(unit=work.unit, outgrown",
        (f"{_RUNNER}test_a_unit_that_outgrows_its_reservation_is_made_again_with_more",),
    ),
)

TALLY = (
    Fault(
        "tally/late-answers-counted",
        "preprocess/tally.py",
        "if known.unit and worker.unit == known.unit:",
        "if known.unit:",
        (f"{_TALLY}test_progress_of_another_unit_than_the_present_one_changes_no_count",),
    ),
    Fault(
        "tally/a-dead-actors-rows-still-count",
        "preprocess/tally.py",
        "        self._workers.pop(actor, None)\n",
        "",
        (f"{_TALLY}test_rows_of_an_open_unit_count_until_its_actor_dies_and_once_when_it_is_committed",),
    ),
    Fault(
        "tally/quarantined-rows-are-not-done",
        "preprocess/tally.py",
        "self.rows += report.unit.num_rows",
        "self.rows += report.rows",
        (f"{_TALLY}test_a_snapshot_never_claims_more_than_the_plan_nor_less_than_what_is_committed",),
    ),
    Fault(
        "tally/start-counts-in-the-rate",
        "preprocess/tally.py",
        "            self._history.clear()\n",
        "            pass\n",
        (f"{_TALLY}test_the_time_before_the_first_row_does_not_count_in_the_rate_nor_in_what_is_left",),
    ),
    Fault(
        "tally/peak-is-the-last-reading",
        "preprocess/tally.py",
        "self.peak_disk_bytes = max(self.peak_disk_bytes, usage.disk_used_bytes)",
        "self.peak_disk_bytes = usage.disk_used_bytes",
        (f"{_TALLY}test_peaks_are_the_largest_that_were_ever_seen",),
    ),
)

PLAN = (
    Fault(
        "plan/ranges-off-by-one",
        "preprocess/units.py",
        "return [edge for edge in pairwise(edges) if edge[1] > edge[0]]",
        "return [(start, stop - 1) for start, stop in pairwise(edges) if stop > start]",
        (f"{_RANGES}test_ranges_cover_all_rows_exactly_once_and_in_order",),
    ),
    Fault(
        "plan/last-range-forgotten",
        "preprocess/units.py",
        "    if stop > start:\n        ranges.append((start, stop))\n    return ranges",
        "    return ranges",
        (f"{_RANGES}test_ranges_cover_all_rows_exactly_once_and_in_order",),
    ),
    Fault(
        "plan/limit-off-by-one",
        "preprocess/units.py",
        "min(stop + block.num_rows, limit) if",
        "min(stop + block.num_rows, limit + 1) if",
        (f"{_UNITS}test_a_limit_takes_the_first_rows",),
    ),
    Fault(
        "plan/test-rows-in-train-too",
        "preprocess/units.py",
        'return is_test if self.part == "test" else ~is_test',
        'return is_test if self.part == "test" else is_test | True',
        (f"{_RANGES}test_train_and_test_parts_are_disjoint_and_together_all_rows",),
    ),
    Fault(
        "plan/digest-without-the-language",
        "preprocess/units.py",
        '        "language": features.language,\n',
        "",
        (f"{_UNITS}test_whatever_decides_bytes_changes_the_digest",),
    ),
    Fault(
        "plan/digest-without-the-sources-content",
        "preprocess/units.py",
        "[FORMAT_VERSION, name, layout.name, layout.fingerprint, settings,",
        "[FORMAT_VERSION, name, layout.name, settings,",
        (f"{_UNITS}test_whatever_decides_bytes_changes_the_digest",),
    ),
)

SETTINGS = (
    Fault(
        "settings/dot-env-over-environment",
        "shared/settings.py",
        "return init_settings, env_settings, dotenv_settings, toml",
        "return init_settings, dotenv_settings, env_settings, toml",
        (f"{_SETTINGS}test_each_layer_wins_over_the_ones_below",),
    ),
    Fault(
        "settings/gib-taken-for-gb",
        "shared/units.py",
        'base = _KIBI if match["binary"] else _KILO',
        "base = _KILO",
        (f"{_RANGES}test_decimal_and_binary_units_differ_by_exactly_their_powers",),
    ),
    Fault(
        "settings/bare-g-is-the-larger-reading",
        "shared/units.py",
        'base = _KIBI if match["binary"] else _KILO',
        "base = _KIBI",
        (f"{_RANGES}test_decimal_and_binary_units_differ_by_exactly_their_powers",),
    ),
    Fault(
        "settings/unknown-toml-name-passed-over",
        "shared/settings.py",
        "    if unknown:\n",
        "    if len(unknown) > 9:\n",
        (f"{_SETTINGS}test_a_wrong_toml_file_is_a_usage_error",),
    ),
)

EXITS = (
    Fault(
        "exits/too-many-quarantined-is-0",
        "preprocess/run.py",
        "    return ExitCode.QUARANTINE_EXCEEDED\n",
        "    return ExitCode.DONE\n",
        ("tests/unit/test_run.py::test_more_quarantined_rows_than_allowed_is_4_and_says_so",),
    ),
    Fault(
        "exits/quarantine-allowance-off-by-one",
        "preprocess/run.py",
        "    if quarantined <= allowed:\n",
        "    if quarantined <= allowed + 1:\n",
        ("tests/unit/test_run.py::test_more_quarantined_rows_than_allowed_is_4_and_says_so",),
    ),
    Fault(
        "exits/resource-limit-is-1",
        "shared/errors.py",
        "    exit_code = ExitCode.RESOURCE_LIMIT\n",
        "    exit_code = ExitCode.FAILED\n",
        (f"{_ERRORS}test_every_error_has_the_documented_exit_status",),
    ),
    Fault(
        "exits/interrupted-is-1",
        "shared/errors.py",
        "    exit_code = ExitCode.INTERRUPTED\n",
        "    exit_code = ExitCode.FAILED\n",
        (f"{_ERRORS}test_every_error_has_the_documented_exit_status",),
    ),
    Fault(
        "exits/full-disk-is-1",
        "shared/cli.py",
        "return int(ExitCode.RESOURCE_LIMIT if error.errno in _DISK_FULL else ExitCode.FAILED)",
        "return int(ExitCode.FAILED)",
        (f"{_CLI}test_an_error_becomes_a_message_and_its_status",),
    ),
)

SUMMARY = (
    Fault(
        "summary/forecast-scored-the-wrong-way-round",
        "preprocess/outcome.py",
        "return 100 * (forecast - outcome) / outcome",
        "return 100 * (outcome - forecast) / outcome",
        (f"{_SUMMARY}test_a_forecast_is_scored_against_the_outcome_positive_when_too_high",),
    ),
    Fault(
        "summary/forecast-scored-against-itself",
        "preprocess/outcome.py",
        "return 100 * (forecast - outcome) / outcome",
        "return 100 * (forecast - outcome) / forecast",
        (f"{_SUMMARY}test_a_forecast_is_scored_against_the_outcome_positive_when_too_high",),
    ),
    Fault(
        "summary/waiting-left-out",
        "preprocess/outcome.py",
        "return shares | {WAITING: (total - known) / total}",
        "return shares",
        (f"{_SUMMARY}test_shares_of_actor_time_are_fractions_that_sum_to_one",),
    ),
    Fault(
        "summary/a-sample-of-all-rows-still-errs",
        "preprocess/forecast.py",
        "math.sqrt(max(0.0, 1 - count / max(population, count)))",
        "1.0",
        (f"{_FORECAST}test_all_rows_sampled_is_exact_where_sizes_tell_nothing",),
    ),
    Fault(
        "summary/limit-not-in-the-forecast",
        "preprocess/forecast.py",
        "taken = block.num_rows if limit is None else min(block.num_rows, limit - rows)",
        "taken = block.num_rows",
        (f"{_FORECAST}test_under_a_limit_sizes_are_compared_with_those_of_the_rows_that_it_takes",),
    ),
)

FAULTS = (*SCHEDULER, *LOOP, *TALLY, *PLAN, *SETTINGS, *EXITS, *SUMMARY)
