"""Planted faults in what is written, named, indexed, verified and read back."""

from tests.support.planted.fault import Fault

_ORDER = "tests/fault/test_commit_order.py::"
ORDERED = (f"{_ORDER}test_every_committed_file_is_written_synced_named_and_its_folder_synced_in_this_order",)
_CUT = "tests/fault/test_power_cut.py::test_a_power_cut_after_an_acknowledgement_or_the_end_takes_nothing_of_it"
_DURABLE = "tests/unit/test_durable.py::"
_SHARD = "tests/unit/test_shard.py::"
_SHARDS = "tests/property/test_shard.py::"
_WORKER = "tests/unit/test_worker.py::"
_INDEX = "tests/unit/test_index.py::"
_LAYOUT = "tests/unit/test_layout.py::"
_VERIFY = "tests/unit/test_verification.py::"
_FINISH = "tests/unit/test_finishing.py::"
_STORE = "tests/unit/test_store.py::"

DURABILITY = (
    Fault("durability/file-not-synced", "shared/durable.py", "os.fsync(self._fd)", "pass", ORDERED),
    Fault(
        "durability/directory-not-synced",
        "shared/durable.py",
        "        with _naming(directory):\n            os.fsync(fd)\n",
        "        with _naming(directory):\n            pass\n",
        (_CUT,),
    ),
    Fault(
        "durability/named-before-it-is-synced",
        "shared/durable.py",
        "        durable.seal()\n        durable.publish(final, replace=True)\n",
        "        durable.publish(final, replace=True)\n        durable.seal()\n",
        ORDERED,
    ),
    Fault(
        "durability/name-published-without-its-directory",
        "shared/durable.py",
        "        fsync_directory(final.parent)\n        return won",
        "        return won",
        ORDERED,
    ),
    Fault("durability/synced-before-it-is-flushed", "shared/durable.py", "        self.file.flush()\n", "", ORDERED),
    Fault(
        "durability/publish-overwrites-a-shard",
        "shared/durable.py",
        "won = _link_new(self.partial, final)",
        "self.partial.replace(final)",
        (f"{_DURABLE}test_the_second_writer_changes_nothing_and_drops_its_own",),
    ),
    Fault(
        "durability/publish-overwrites-without-hard-links",
        "shared/durable.py",
        "        if final.exists():\n            return False\n",
        "",
        (f"{_DURABLE}test_without_hard_links_the_first_writer_still_wins",),
    ),
    Fault(
        "durability/loser-leaves-the-name-undurable",
        "shared/durable.py",
        "        fsync_directory(final.parent)\n        return won",
        "        if won:\n            fsync_directory(final.parent)\n        return won",
        (f"{_DURABLE}test_the_second_writer_makes_the_name_durable_as_well",),
    ),
    Fault(
        "durability/partial-file-left-behind",
        "shared/durable.py",
        "                self.partial.unlink()",
        "                pass",
        (f"{_DURABLE}test_a_block_left_without_publishing_leaves_nothing",),
    ),
    Fault(
        "durability/another-writers-partial-taken-over",
        "shared/durable.py",
        "os.O_EXCL | ",
        "",
        (f"{_DURABLE}test_another_writers_partial_file_is_never_taken_over",),
    ),
    Fault(
        "durability/quarantine-not-synced",
        "shared/shard.py",
        "        durable.seal()\n        durable.publish(final, replace=True)",
        "        durable.file.flush()\n        durable.publish(final, replace=True)",
        ORDERED,
    ),
    Fault(
        "durability/index-not-synced",
        "shared/index.py",
        "        durable.seal()\n",
        "        durable.file.flush()\n",
        ORDERED,
    ),
    Fault(
        "durability/new-stores-folder-not-durable",
        "preprocess/preparation.py",
        "            fsync_directory(root.parent)\n",
        "",
        ORDERED,
    ),
)

COMMIT = (
    Fault(
        "commit/quarantine-after-its-shard",
        "preprocess/worker.py",
        "        if not final.exists():\n"
        "            self._commit_quarantine(task, quarantined)\n"
        "        writer.publish(final)\n",
        "        if writer.publish(final):\n            self._commit_quarantine(task, quarantined)\n",
        (f"{_ORDER}test_quarantined_rows_are_durable_before_their_shard_is_named",),
    ),
    Fault(
        "commit/a-committed-shards-quarantine-replaced",
        "preprocess/worker.py",
        "        if not final.exists():\n            self._commit_quarantine",
        "        if True:\n            self._commit_quarantine",
        (f"{_WORKER}test_a_committed_shards_quarantine_is_never_touched",),
    ),
    Fault(
        "commit/an-earlier-attempts-quarantine-kept",
        "preprocess/worker.py",
        "        elif final.exists():",
        "        elif False:",
        (f"{_WORKER}test_an_earlier_attempts_quarantine_gives_way_to_none",),
    ),
    Fault(
        "commit/complete-before-the-index",
        "preprocess/finishing.py",
        "    write_complete(job.layout, job.record, totals)\n",
        "    write_complete(job.layout, job.record, totals)\n"
        "    for plan in job.plans:\n"
        "        write_index(job.layout, plan.name, plan.record, job.record.features)\n",
        ORDERED,
    ),
    Fault(
        "commit/complete-forgets-earlier-splits",
        "shared/index.py",
        "splits: dict[str, Any] = read_complete(layout)",
        "splits: dict[str, Any] = {}",
        (f"{_INDEX}test_a_split_that_is_completed_later_leaves_the_others_complete",),
    ),
    Fault(
        "commit/stop-is-not-heard",
        "preprocess/worker.py",
        "            if self._stopping:",
        "            if False:",
        (f"{_WORKER}test_stop_ends_the_open_unit_and_leaves_nothing_behind",),
    ),
)

ACCOUNTING = (
    Fault(
        "accounting/one-row-dropped",
        "preprocess/worker.py",
        "            for row in self._feature_rows(task, quarantined):\n"
        '                with self._clock.stage("write"):\n'
        "                    writer.append(row)\n"
        "            if writer.num_rows + len(quarantined) != unit.num_rows:",
        "            for number, row in enumerate(self._feature_rows(task, quarantined)):\n"
        "                if number or task.unit.number:\n"
        "                    writer.append(row)\n"
        "            if writer.num_rows + len(quarantined) > unit.num_rows:",
        (f"{_WORKER}test_every_row_is_written_or_quarantined_with_its_reason",),
    ),
    Fault(
        "accounting/one-row-written-twice",
        "preprocess/worker.py",
        "                    writer.append(row)\n            if writer.num_rows + len(quarantined) != unit.num_rows:",
        "                    writer.append(row)\n"
        "                    _ = writer.num_rows == 1 and writer.append(row)\n"
        "            if writer.num_rows + len(quarantined) < unit.num_rows:",
        (f"{_WORKER}test_a_written_row_holds_what_the_source_says",),
    ),
    Fault(
        "accounting/lost-source-rows-not-noticed",
        "preprocess/worker.py",
        "if writer.num_rows + len(quarantined) != unit.num_rows:",
        "if False:",
        (f"{_WORKER}test_a_source_that_lost_rows_is_refused_and_nothing_is_committed",),
    ),
    Fault(
        "accounting/wrong-rows-in",
        "preprocess/worker.py",
        '"rows_in": str(task.unit.num_rows)',
        '"rows_in": str(rows)',
        (f"{_WORKER}test_a_shard_accounts_for_its_rows",),
    ),
    Fault(
        "accounting/selection-off-by-one",
        "preprocess/worker.py",
        "selected[row.row_id - task.unit.start]",
        "selected[row.row_id - task.unit.start - 1]",
        (f"{_WORKER}test_the_rows_of_a_part_are_those_that_its_selection_names",),
    ),
    Fault(
        "accounting/crashed-row-read-again",
        "preprocess/worker.py",
        "        if row.row_id in crashed_rows:",
        "        if False:",
        (f"{_WORKER}test_every_row_is_written_or_quarantined_with_its_reason",),
    ),
    Fault(
        "accounting/row-group-written-twice",
        "shared/shard.py",
        "            self._pending.clear()\n",
        "            self._pending._payloads.flush()\n",
        (f"{_SHARDS}test_any_rows_are_read_back_as_plain_parquet",),
    ),
    Fault(
        "accounting/index-takes-what-does-not-add-up",
        "shared/index.py",
        "if scan.rows + scan.quarantined != record.num_rows:",
        "if scan.rows > record.num_rows:",
        (f"{_INDEX}test_rows_that_do_not_add_up_to_the_plan_are_refused",),
    ),
    Fault(
        "accounting/committed-units-made-again",
        "preprocess/tasks.py",
        "if unit.number not in committed)",
        "if unit.number + 1 not in committed)",
        (f"{_FINISH}test_a_resumed_plan_is_the_same_and_has_only_the_open_units_to_do",),
    ),
    Fault(
        "accounting/shard-of-another-plan-counts",
        "shared/layout.py",
        "if int(match[3]) != num_units or int(match[2]) >= num_units:",
        "if int(match[2]) >= num_units:",
        (f"{_LAYOUT}test_a_shard_of_another_plan_is_refused",),
    ),
    Fault(
        "accounting/other-plan-admitted",
        "shared/layout.py",
        "if existing is not None and existing.digest != split.digest:",
        "if existing is not None and existing.num_units != split.num_units:",
        (f"{_LAYOUT}test_a_plan_that_differs_in_nothing_we_know_is_refused_too",),
    ),
)

CHECKSUMS = (
    Fault(
        "checksums/crc-over-the-wrong-bytes",
        "shared/shard.py",
        "zlib.crc32(row.payload)",
        "zlib.crc32(row.payload[1:])",
        (f"{_SHARDS}test_any_rows_are_read_back_as_plain_parquet",),
    ),
    Fault(
        "checksums/sealed-without-a-look",
        "shared/shard.py",
        "        check_payloads(self._durable.partial, self._spec)\n",
        "",
        (f"{_SHARD}test_a_disk_that_keeps_other_bytes_than_were_written_gets_no_shard",),
    ),
    Fault(
        "checksums/pages-without",
        "shared/shard.py",
        "        write_page_checksum=True,\n",
        "        write_page_checksum=False,\n",
        (f"{_SHARD}test_every_page_has_a_checksum",),
    ),
    Fault(
        "checksums/index-opened-without-its-digest",
        "shared/index.py",
        "    if digest != stated[1]:\n",
        "    if False:\n",
        (f"{_STORE}test_an_index_of_as_many_rows_but_other_bytes_is_refused",),
    ),
    Fault(
        "checksums/cut-shard-not-named",
        "shared/store.py",
        "np.flatnonzero(ends > sizes)",
        "np.flatnonzero(ends < 0)",
        (f"{_STORE}test_a_look_at_the_shards_names_one_that_is_missing_or_ends_within_its_rows",),
    ),
    Fault(
        "checksums/verify-skips-payloads",
        "shared/verification.py",
        "    yield from _payload_problems(rows, path, index, spec)\n",
        "",
        (f"{_VERIFY}test_a_payload_that_changed_before_its_page_was_written_is_found",),
    ),
    Fault(
        "checksums/verify-skips-pages",
        "shared/verification.py",
        "with pq.ParquetFile(path, page_checksum_verification=True, pre_buffer=False) as rows:",
        "with pq.ParquetFile(path, pre_buffer=False) as rows:",
        (f"{_VERIFY}test_a_flipped_byte_is_found_before_the_store_has_an_index",),
    ),
    Fault(
        "checksums/verify-skips-what-lies-between-payloads",
        "shared/verification.py",
        "if digests[unit : unit + 1] != [shard.frame_digest]:",
        "if False:",
        (f"{_VERIFY}test_a_flipped_bit_anywhere_in_any_file_is_found",),
    ),
    Fault(
        "checksums/verify-skips-offsets-and-index-rows",
        "shared/verification.py",
        "if groups >= stored.num_row_groups or not stored.read_row_group(groups).equals(shard.rows):",
        "if groups >= stored.num_row_groups:",
        (f"{_VERIFY}test_an_index_of_other_rows_is_found",),
    ),
    Fault(
        "checksums/verify-skips-the-order-of-rows",
        "shared/verification.py",
        "if len(ids) and not np.all(np.diff(ids) > 0):",
        "if False:",
        (f"{_VERIFY}test_row_ids_out_of_order_are_found",),
    ),
    Fault(
        "checksums/verify-skips-quarantine-counts",
        "shared/verification.py",
        "if not len(ids) == len(table) == quarantined:",
        "if False:",
        (f"{_VERIFY}test_a_quarantine_file_too_many_is_found",),
    ),
    Fault(
        "checksums/verify-believes-complete",
        "shared/verification.py",
        "        if complete.get(name) != value:",
        "        if name not in complete:",
        (f"{_VERIFY}test_a_wrong_figure_in_complete_is_found",),
    ),
    Fault(
        "checksums/content-digest-without-payloads",
        "shared/index.py",
        'for name in ("row_id", "num_frames", "crc32"):',
        'for name in ("row_id", "num_frames"):',
        (f"{_INDEX}test_the_content_digest_hangs_on_rows_and_not_on_where_shards_end",),
    ),
)

OFFSETS = (
    Fault(
        "offsets/payloads-four-bytes-early",
        "shared/shard.py",
        "np.cumsum(sizes) - sizes + PREFIX_BYTES",
        "np.cumsum(sizes) - sizes",
        (f"{_SHARDS}test_every_payload_is_a_slice_of_the_file_at_its_offset",),
    ),
    Fault(
        "offsets/reader-four-bytes-late",
        "shared/store.py",
        "[offset : offset + size]",
        "[offset + 4 : offset + 4 + size]",
        (f"{_STORE}test_log_mel_is_a_read_only_view_of_the_mapped_file",),
    ),
    Fault(
        "offsets/a-file-kept-open-for-every-shard",
        "shared/store.py",
        "            with pa.memory_map(str(path)) as file:\n",
        "            if file := self._maps.setdefault(-1 - unit, pa.memory_map(str(path))):\n",
        (f"{_STORE}test_a_mapped_shard_keeps_no_file_open",),
    ),
    Fault(
        "offsets/labels-begin-one-late",
        "shared/store.py",
        "self.label_values[self.label_offsets[row] :",
        "self.label_values[self.label_offsets[row] + 1 :",
        (f"{_STORE}test_labels_are_int32_token_ids",),
    ),
    Fault(
        "offsets/compressed-pages-mapped-all-the-same",
        "shared/shard.py",
        "if not group.uncompressed or not 0 < header <= MAX_PAGE_HEADER_BYTES:",
        "if False:",
        (f"{_SHARD}test_offsets_are_not_told_for_a_file_that_cannot_be_mapped",),
    ),
)

FAULTS = (*DURABILITY, *COMMIT, *ACCOUNTING, *CHECKSUMS, *OFFSETS)
