"""Planted faults in a training: which clips meet, steps, what is evaluated and saved, and how much fits at once."""

from tests.support.planted.fault import Fault

_SAMPLER = "tests/trainer/test_sampler.py::"
_COLLATE = "tests/trainer/test_collate.py::"
_STEP = "tests/trainer/test_step.py::"
_LOOP = "tests/trainer/test_loop.py::"
_TRAIN = "tests/trainer/test_train.py::"
_CHECKPOINT = "tests/trainer/test_checkpoint.py::"
_MEMORY = "tests/trainer/test_memory.py::"
_SAMPLER_FILE = "trainer/sampler.py"
_MICRO_BATCHES_FILE = "trainer/micro_batches.py"
_COLLATE_FILE = "trainer/collate.py"
_FILLING_FILE = "trainer/filling.py"
_STEP_FILE = "trainer/step.py"
_LOOP_FILE = "trainer/loop.py"
_CHECKPOINT_FILE = "trainer/checkpoint_writer.py"

SAMPLER = (
    Fault(
        "sampler/order-depends-on-the-world-size",
        "trainer/steps.py",
        "seed=self.seed, epoch=epoch)\n            self._epoch",
        "seed=self.seed + self.world_size, epoch=epoch)\n            self._epoch",
        (f"{_SAMPLER}test_a_step_has_the_same_clips_whatever_the_number_of_ranks_and_the_budget",),
    ),
    Fault(
        "sampler/ranks-get-as-many-clips-and-not-as-much-work",
        _SAMPLER_FILE,
        "        dealt_to[:, place] = loads.argmin(axis=1)\n",
        "        dealt_to[:, place] = place % world_size\n",
        (f"{_SAMPLER}test_little_of_what_is_computed_is_padding_and_ranks_have_much_the_same_work",),
    ),
    Fault(
        "sampler/a-clip-dealt-twice",
        _MICRO_BATCHES_FILE,
        "MicroBatch(clips[start:stop],",
        "MicroBatch(clips[start : stop + 1],",
        (f"{_SAMPLER}test_a_step_is_shared_out_whole_and_no_micro_batch_passes_the_budget",),
    ),
    Fault(
        "sampler/shortest-last-instead-of-the-cheapest",
        _MICRO_BATCHES_FILE,
        "in sorted(found, key=lambda pair: -pair[0]))",
        "in reversed(found))",
        (f"{_SAMPLER}test_the_cheapest_micro_batch_comes_last_even_where_its_clip_is_the_longest",),
    ),
    Fault(
        "sampler/the-same-rows-left-out-of-every-epoch",
        _SAMPLER_FILE,
        "rng.permutation(len(num_frames))[: steps * global_batch_size]",
        "rng.permutation(steps * global_batch_size)",
        (f"{_SAMPLER}test_rows_left_out_of_one_epoch_are_in_others",),
    ),
    Fault(
        "sampler/launches-not-counted",
        _MICRO_BATCHES_FILE,
        "cost.min(axis=1) + LAUNCH_FRAMES",
        "cost.min(axis=1)",
        (f"{_SAMPLER}test_no_other_cut_of_a_step_costs_less",),
    ),
    Fault(
        "sampler/tokens-of-the-longest-clip-alone",
        _MICRO_BATCHES_FILE,
        "(frames[:, :stop] + most_extra)",
        "(frames[:, :stop] + extra[:, :stop])",
        (f"{_SAMPLER}test_no_other_cut_of_a_step_costs_less",),
    ),
    Fault(
        "sampler/steps-planned-together-share-their-chance",
        _SAMPLER_FILE,
        "generator.advance(step * ",
        "generator.advance(0 * ",
        (f"{_SAMPLER}test_a_step_is_planned_the_same_in_any_order_and_company",),
    ),
)

COLLATE = (
    Fault(
        "collate/zeros-instead-of-the-floor",
        _COLLATE_FILE,
        "np.where(clips.padding == Padding.ZEROS, np.float32(0), floor)",
        "np.zeros_like(floor)",
        (f"{_COLLATE}test_clips_stand_unchanged_before_their_own_floor",),
    ),
    Fault(
        "collate/targets-not-shifted",
        _FILLING_FILE,
        "labels[start + place + 1]",
        "labels[start + place]",
        (f"{_COLLATE}test_the_start_token_is_an_input_once_and_never_a_target",),
    ),
    Fault(
        "collate/start-token-doubled",
        _FILLING_FILE,
        "labels[start + min(place, count - 1)]",
        "labels[start + max(0, min(place, count - 1) - 1)]",
        (f"{_COLLATE}test_the_start_token_is_an_input_once_and_never_a_target",),
    ),
    Fault(
        "collate/places-counted-without-the-padding",
        _FILLING_FILE,
        "= first + place",
        "= targets_done + place",
        (f"{_COLLATE}test_the_start_token_is_an_input_once_and_never_a_target",),
    ),
    Fault(
        "collate/padding-augmented",
        _COLLATE_FILE,
        "augment(log_mel[:count],",
        "augment(log_mel,",
        (f"{_COLLATE}test_spec_augment_silences_parts_of_the_clip_and_leaves_the_padding",),
    ),
    Fault(
        "collate/rows-of-another-clip",
        _COLLATE_FILE,
        "split.payloads(clips.rows)",
        "split.payloads(clips.rows[::-1])",
        (f"{_COLLATE}test_clips_stand_unchanged_before_their_own_floor",),
    ),
    Fault(
        "collate/floor-over-a-clips-last-frame",
        _FILLING_FILE,
        "range(sizes[row], rooms[row], frame)",
        "range(sizes[row] - frame, rooms[row], frame)",
        (f"{_COLLATE}test_clips_stand_unchanged_before_their_own_floor",),
    ),
    Fault(
        "collate/no-padding-in-the-last-frame",
        _FILLING_FILE,
        "range(sizes[row], rooms[row], frame)",
        "range(sizes[row], rooms[row] - frame, frame)",
        (f"{_COLLATE}test_clips_stand_unchanged_before_their_own_floor",),
    ),
    Fault(
        "collate/targets-of-a-clip-where-the-one-before-it-ends",
        _FILLING_FILE,
        "targets_done += count - 1",
        "targets_done += count - 2",
        (f"{_COLLATE}test_micro_batches_formed_together_are_those_formed_one_by_one",),
    ),
    Fault(
        "collate/a-cut-shard-read-beyond-its-end",
        "shared/store.py",
        "np.flatnonzero(offsets + sizes > lengths)",
        "np.flatnonzero(offsets > lengths + sizes)",
        ("tests/unit/test_store.py::test_a_missing_or_cut_shard_is_named",),
    ),
    Fault(
        "collate/waits-for-the-thread-that-is-at-it",
        "trainer/loader.py",
        "            other.help()\n",
        "            other.result()\n",
        (f"{_STEP}test_while_a_thread_is_at_what_comes_next_the_asking_one_forms_what_comes_after",),
    ),
    Fault(
        "collate/memory-used-again-at-once",
        "trainer/loader.py",
        "self._given.append(memory)",
        "self._buffers.give(memory)",
        (f"{_STEP}test_a_steps_tensors_hold_until_the_next_is_asked_for_and_then_their_memory_is_used_again",),
    ),
)

_RAN_OUT = "test_a_rank_that_runs_out_of_memory_keeps_no_other_waiting_and_the_step_can_be_repeated"

STEP = (
    Fault(
        "step/a-broken-exchange-goes-on",
        _STEP_FILE,
        "            self.exchange.renew()\n",
        "",
        (f"tests/trainer/test_ranks.py::{_RAN_OUT}",),
    ),
    Fault(
        "step/an-old-exchange-listens-on",
        "trainer/exchange.py",
        "            self._parallel.reducer._remove_autograd_hooks()  # noqa: SLF001 # torch has no other way\n",
        "            self._old = self._parallel\n",
        (f"tests/trainer/test_ranks.py::{_RAN_OUT}",),
    ),
    Fault(
        "step/mean-of-means",
        _STEP_FILE,
        "losses.append((batch, loss.detach()))\n",
        "losses.append((batch, loss.detach()))\n"
        "                    loss = loss * (plan.num_targets / len(tensors[4]) / count)\n",
        (f"{_STEP}test_micro_batches_give_the_gradient_of_the_one_big_batch",),
    ),
    Fault(
        "step/ranks-averaged-instead-of-added-up",
        _STEP_FILE,
        "weight = self.ranks.world_size / plan.num_targets",
        "weight = 1 / plan.num_targets",
        ("tests/trainer/test_ranks.py::test_two_ranks_and_their_micro_batches_add_up_to_one_batch",),
    ),
    Fault(
        "step/norm-not-clipped",
        _STEP_FILE,
        "clip_grad_norm_(trained_parameters(self.model), self.max_grad_norm)",
        'clip_grad_norm_(trained_parameters(self.model), float("inf"))',
        (f"{_STEP}test_gradients_are_clipped_to_the_norm",),
    ),
    Fault(
        "step/update-despite-a-gradient-that-is-no-number",
        _STEP_FILE,
        "if finite or self.scaler.is_enabled():",
        "if self.scaler is not None:",
        (f"{_STEP}test_a_gradient_that_is_no_number_changes_no_weight_and_names_its_batch",),
    ),
    Fault(
        "step/gradients-of-the-step-before-kept",
        _STEP_FILE,
        "        self.optimiser.zero_grad(set_to_none=False)\n        losses =",
        "        losses =",
        (f"{_STEP}test_a_step_begins_without_the_gradients_of_the_one_before",),
    ),
)

TRAINING = (
    Fault(
        "training/the-first-evaluation-stays-the-best",
        _LOOP_FILE,
        "(self.state.best_wer is None or wer < self.state.best_wer)",
        "(self.state.best_wer is None)",
        (f"{_LOOP}test_the_best_is_the_evaluation_with_the_lowest_wer_of_all",),
    ),
    Fault(
        "training/a-failed-evaluation-costs-the-steps-before-it",
        _LOOP_FILE,
        "            if self._due(self.settings.save_steps):\n                self._save()\n"
        "            if self._due(self.settings.eval_steps):\n                self._evaluate()\n",
        "            if self._due(self.settings.eval_steps):\n                self._evaluate()\n"
        "            if self._due(self.settings.save_steps):\n                self._save()\n",
        (f"{_LOOP}test_an_evaluation_that_fails_costs_no_step_and_is_made_up_for",),
    ),
    Fault(
        "training/an-evaluation-cut-short-is-left-out",
        _LOOP_FILE,
        "        if self.state.step and self.state.evaluated_step != self.state.step and",
        "        if False and",
        (f"{_LOOP}test_an_evaluation_that_fails_costs_no_step_and_is_made_up_for",),
    ),
    Fault(
        "training/checkpoints-do-not-know-their-evaluation",
        _CHECKPOINT_FILE,
        "            write_durably(path, json_bytes(asdict(state)), partial)\n",
        "",
        (f"{_LOOP}test_a_checkpoint_tells_what_was_found_after_it_was_saved",),
    ),
    Fault(
        "training/resumed-one-step-late",
        "trainer/resuming.py",
        "now = replace(before, identity=own,",
        "now = replace(before, step=before.step + bool(before.step), identity=own,",
        (f"{_TRAIN}test_a_run_that_goes_on_at_any_step_ends_as_the_straight_one_bit_for_bit",),
    ),
    Fault(
        "training/stopped-without-a-checkpoint",
        _LOOP_FILE,
        "                self._save()\n                self._finish_saving()\n",
        "                self._finish_saving()\n",
        (f"{_TRAIN}test_a_polite_stop_saves_what_was_done",),
    ),
    Fault(
        "training/last-step-not-saved",
        _LOOP_FILE,
        "return self.state.step % every == 0 or self.state.step == self.max_steps",
        "return self.state.step % every == 0",
        (f"{_LOOP}test_the_last_checkpoint_without_room_is_an_error",),
    ),
)

CHECKPOINT = (
    Fault(
        "checkpoint/files-not-synced",
        _CHECKPOINT_FILE,
        "        fsync_tree(folder)\n",
        "",
        (f"{_CHECKPOINT}test_a_checkpoint_that_was_waited_for_outlives_a_power_cut",),
    ),
    Fault(
        "checkpoint/name-not-synced",
        _CHECKPOINT_FILE,
        "            partial.rename(final)\n            fsync_directory(self.output)\n",
        "            partial.rename(final)\n",
        (f"{_CHECKPOINT}test_one_that_is_not_the_best_outlives_a_power_cut_too",),
    ),
    Fault(
        "checkpoint/the-newest-rotated-away",
        _CHECKPOINT_FILE,
        "kept = {newest, *resumable(self.output)[-self.keep_latest :]}",
        "kept = {path for _, path in checkpoints(self.output)[-self.keep_latest :]}",
        (f"{_CHECKPOINT}test_what_was_just_written_stays_beside_a_best_one_of_a_later_step",),
    ),
    Fault(
        "checkpoint/an-untied-projection-lost",
        _LOOP_FILE,
        "tied = whisper.proj_out.weight is whisper.model.decoder.embed_tokens.weight",
        "tied = True",
        ("tests/trainer/test_model.py::test_the_output_projection_is_saved_unless_it_is_the_decoders_embedding",),
    ),
    Fault(
        "checkpoint/best-rotated-away",
        _CHECKPOINT_FILE,
        "doomed = path / TRAINING if points_at(self.output, path) else path",
        "doomed = path",
        (f"{_CHECKPOINT}test_the_last_ones_stay_and_the_best_keeps_its_model",),
    ),
    Fault(
        "checkpoint/a-link-left-behind-blocks-every-start",
        _CHECKPOINT_FILE,
        "if path.is_dir() and not path.is_symlink():",
        "if path:",
        (f"{_CHECKPOINT}test_whatever_was_left_half_made_goes_at_the_next_start",),
    ),
    Fault(
        "checkpoint/best-not-linked-again",
        _CHECKPOINT_FILE,
        "if not points_at(self.output, self.path(state.best_step)):",
        "if False:",
        (f"{_CHECKPOINT}test_a_best_one_whose_link_was_never_made_is_linked_at_the_next_start",),
    ),
    Fault(
        "training/a-best-model-that-was-not-written-stays-the-best",
        "trainer/loop.py",
        "            if self.state.best_step != self.state.step:\n",
        "            if False:\n",
        (f"{_LOOP}test_a_best_model_that_found_no_room_is_not_the_best",),
    ),
    Fault(
        "training/diverged-and-done",
        "trainer/loop.py",
        "        self._require_updates()\n",
        "",
        (f"{_LOOP}test_a_loss_that_is_no_number_changes_nothing_and_its_rows_are_kept",),
    ),
    Fault(
        "checkpoint/named-before-it-is-whole",
        _CHECKPOINT_FILE,
        "            _fill(partial, snapshot, self.files)\n",
        "            partial = partial.rename(final)\n            _fill(final, snapshot, self.files)\n",
        (f"{_CHECKPOINT}test_a_disk_that_fills_up_while_one_is_written_is_said_and_the_one_before_it_stays",),
    ),
    Fault(
        "checkpoint/no-room-reserved",
        _CHECKPOINT_FILE,
        "            _reserve(partial, _size(snapshot))\n",
        "",
        (f"{_CHECKPOINT}test_a_disk_too_full_is_said_before_anything_is_written_and_harms_nothing",),
    ),
)

BUDGET = (
    Fault(
        "budget/short-clips-recomputed-for-the-longest",
        "trainer/memory.py",
        "            plain = self._shorter()\n",
        "            plain = 0\n",
        (f"{_MEMORY}test_where_the_longest_clip_fits_only_recomputed_it_alone_is",),
    ),
    Fault(
        "budget/nothing-left-to-others",
        "trainer/memory.py",
        "free - MARGIN))",
        "free))",
        (f"{_MEMORY}test_what_is_allowed_is_what_was_asked_for_and_what_others_leave",),
    ),
    Fault(
        "budget/more-than-the-share-of-memory",
        "trainer/memory.py",
        "if whole is None or whole > self.room_bytes:",
        "if whole is None:",
        (f"{_MEMORY}test_where_the_longest_clip_fits_only_recomputed_it_alone_is",),
    ),
    Fault(
        "budget/computed-and-not-tried",
        "trainer/memory.py",
        "return peak is not None and peak <= self.room_bytes",
        "return True",
        (f"{_MEMORY}test_what_the_growth_promises_is_tried_before_it_is_taken",),
    ),
)

FAULTS = (*SAMPLER, *COLLATE, *STEP, *TRAINING, *CHECKPOINT, *BUDGET)
