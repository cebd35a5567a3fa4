"""Planted faults in models and what is said of them: input, fit to the store, scores, exports, and what is cleared."""

from tests.support.planted.fault import Fault

_MODEL = "tests/trainer/test_model.py::"
_DATA = "tests/trainer/test_data.py::"
_SCORING = "tests/trainer/test_scoring.py::"
_TRAIN = "tests/trainer/test_train.py::"
_CONVERSION = "tests/trainer/test_conversion.py::"
_GATE = "tests/trainer/test_gate.py::"
_CLEAN = "tests/trainer/test_clean.py::"
_MODEL_FILE = "trainer/model.py"
_DATA_FILE = "trainer/data.py"
_SCORING_FILE = "trainer/scoring.py"
_EXPORT_FILE = "trainer/export_files.py"
_TIDYING_FILE = "trainer/tidying.py"

MODEL = (
    Fault(
        "model/last-positions-for-short-clips",
        _MODEL_FILE,
        "return own[:count]",
        "return own[-count:]",
        (f"{_MODEL}test_a_shorter_context_is_the_model_with_its_positions_cut",),
    ),
    Fault(
        "model/positions-begin-again-after-30-s",
        _MODEL_FILE,
        "torch.cat([own, longer[len(own) :]])",
        "torch.cat([own, longer[: count - len(own)]])",
        (f"{_MODEL}test_positions_go_on_beyond_the_window_as_the_sinusoids_do",),
    ),
    Fault(
        "model/uint8-without-its-floor",
        _MODEL_FILE,
        "values * float(STEP) + floor.to(dtype)[:, None, None]",
        "values * float(STEP)",
        (f"{_MODEL}test_uint8_steps_count_from_each_clips_floor",),
    ),
)

DATA = (
    Fault(
        "data/mel-bins-not-compared",
        _DATA_FILE,
        "if bins != config.num_mel_bins:",
        "if not bins:",
        (f"{_DATA}test_other_mel_bins_do_not_fit",),
    ),
    Fault(
        "data/labels-of-another-tokenizer-taken",
        _DATA_FILE,
        "        if labeller(text) != labels:\n",
        "        if not labels:\n",
        (f"{_DATA}test_another_tokenizer_does_not_fit",),
    ),
    Fault(
        "data/opened-before-it-is-complete",
        _DATA_FILE,
        "or split in read_complete(layout):",
        "or len(layout.committed(split, record.splits[split].num_units)) == record.splits[split].num_units:",
        (f"{_DATA}test_with_wait_it_is_waited_for_and_what_moved_is_told_once",),
    ),
    Fault(
        "data/negative-labels-taken",
        _DATA_FILE,
        "split.label_values.view(np.uint32) >= vocab_size",
        "split.label_values >= vocab_size",
        (f"{_DATA}test_a_label_outside_the_vocabulary_is_named_in_whatever_row_it_stands",),
    ),
    Fault(
        "data/shards-not-looked-at",
        _DATA_FILE,
        "    opened.check_shards()\n",
        "",
        (f"{_DATA}test_a_missing_shard_is_found_before_anything_is_trained",),
    ),
)

SCORING = (
    Fault(
        "scoring/hypotheses-taken-for-references",
        _SCORING_FILE,
        "(normalise(reference, normaliser), normalise(hypothesis, normaliser))",
        "(normalise(hypothesis, normaliser), normalise(reference, normaliser))",
        (f"{_SCORING}test_every_rows_errors_are_the_edit_distance_of_its_words_and_of_its_characters",),
    ),
    Fault(
        "scoring/evaluation-swaps-the-two",
        "trainer/evaluation.py",
        "overall=score_all(references, hypotheses)",
        "overall=score_all(hypotheses, references)",
        (f"{_TRAIN}test_an_evaluation_counts_the_words_that_were_said",),
    ),
    Fault(
        "scoring/eszett-not-mapped",
        _SCORING_FILE,
        'basic.replace("ß", "ss")',
        'basic.replace("ẞ", "ss")',
        (f"{_SCORING}test_each_normaliser_forgives_what_it_names_and_nothing_else",),
    ),
    Fault(
        "scoring/deletions-not-counted",
        _SCORING_FILE,
        'if chunk.type != "equal"',
        'if chunk.type not in {"equal", "delete"}',
        (f"{_SCORING}test_an_empty_hypothesis_deletes_every_word",),
    ),
    Fault(
        "scoring/models-resampled-apart",
        "trainer/bootstrap.py",
        "drawn = _resampled_rates(changes, lengths, resamples, seed)",
        "drawn = _resampled_rates(errors, lengths, resamples, seed)\n"
        "    drawn = drawn - _resampled_rates(baseline_errors, lengths, resamples, seed + 1)",
        ("tests/trainer/test_bootstrap.py::test_pairing_sees_what_two_intervals_do_not",),
    ),
)

EXPORT = (
    Fault(
        "export/alignment-heads-not-checked",
        _EXPORT_FILE,
        '        yield from _head_problems(config.get("alignment_heads"), checkpoint)\n',
        "",
        (f"{_CONVERSION}test_a_wrong_entry_is_named",),
    ),
    Fault(
        "export/digests-not-compared",
        _EXPORT_FILE,
        "[*_content_problems(folder, checkpoint), *_digest_problems(folder)]",
        "[*_content_problems(folder, checkpoint)]",
        (f"{_CONVERSION}test_one_flipped_bit_of_the_weights_is_seen",),
    ),
    Fault(
        "export/changed-weight-told-by-words-alone",
        "trainer/gate.py",
        "problems = [*file_problems, *_figure_problems(rows, figures)]",
        "problems = [*file_problems]",
        (f"{_GATE}test_a_changed_weight_is_told_by_figures_where_all_transcripts_are_equal",),
    ),
    Fault(
        "export/divergence-that-is-no-number-passes",
        "trainer/gate.py",
        "if not figures.divergence <= allowed.divergence:",
        "if figures.divergence > allowed.divergence:",
        (f"{_GATE}test_a_changed_weight_is_told_by_figures_where_all_transcripts_are_equal",),
    ),
    Fault(
        "export/lower-wer-is-no-difference",
        "trainer/gate.py",
        "if abs(found.settled) > MAX_DIFFERENCE + _LAST_BIT:",
        "if found.settled > MAX_DIFFERENCE + _LAST_BIT:",
        (f"{_GATE}test_a_lower_wer_is_a_difference_too",),
    ),
)

TIDYING = (
    Fault(
        "tidying/best-removed",
        _TIDYING_FILE,
        "        if step != best and not points_at(output, path) and not path.is_symlink()\n",
        "        if not path.is_symlink()\n",
        (f"{_CLEAN}test_all_go_but_the_best_and_the_last",),
    ),
    Fault(
        "tidying/folder-that-became-a-link-followed",
        _TIDYING_FILE,
        "os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC",
        "os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC",
        (f"{_CLEAN}test_a_folder_that_became_a_link_meanwhile_leads_nowhere",),
    ),
    Fault(
        "tidying/store-freed-under-its-reader",
        "trainer/in_use.py",
        "if found := readers(store, processes):",
        "if found := readers(store, store):",
        (f"{_CLEAN}test_a_store_that_another_process_reads_stays",),
    ),
    Fault(
        "tidying/reader-of-a-linked-store-not-found",
        "trainer/in_use.py",
        'f" {store.resolve()}/"',
        'f" {store.absolute()}/"',
        (f"{_CLEAN}test_a_reader_is_found_by_whatever_name_the_store_is_called",),
    ),
    Fault(
        "tidying/store-freed-while-it-is-prepared",
        "trainer/in_use.py",
        "            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)\n",
        "            pass\n",
        (f"{_CLEAN}test_a_store_that_is_being_prepared_stays",),
    ),
)

FAULTS = (*MODEL, *DATA, *SCORING, *EXPORT, *TIDYING)
