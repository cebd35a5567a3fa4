"""Planted faults in what becomes of one row: source, audio, features, text and labels."""

from tests.support.planted.fault import Fault

_FEATURES = "tests/unit/test_features.py::"
_PARITY = "tests/property/test_features_parity.py::"
_AUDIO = "tests/unit/test_audio.py::"
_TEXT = "tests/unit/test_text.py::"
_TEXTS = "tests/property/test_text.py::"
_SCHEMA = "tests/unit/test_schema.py::"
_PARQUET = "tests/unit/test_sources_parquet.py::"
_CLIPS = "tests/unit/test_sources_clips.py::"
_COLUMNS = "tests/unit/test_sources_columns.py::"

LABELS = (
    Fault(
        "labels/nfc-skipped",
        "shared/text.py",
        'unicodedata.normalize("NFC", folded)',
        "folded",
        (f"{_TEXTS}test_decomposed_umlauts_become_whole_letters",),
    ),
    Fault(
        "labels/case-folded",
        "shared/text.py",
        'unicodedata.normalize("NFC", folded).split())',
        'unicodedata.normalize("NFC", folded).lower().split())',
        (f"{_TEXTS}test_german_words_digits_case_and_punctuation_stay",),
    ),
    Fault(
        "labels/decoder-start-doubled",
        "shared/text.py",
        "labels = [*self._prefix, *ids, self._end]",
        "labels = [self._prefix[0], *self._prefix, *ids, self._end]",
        (f"{_TEXT}test_labels_are_those_of_transformers",),
    ),
    Fault(
        "labels/limit-one-too-small",
        "shared/text.py",
        "if len(labels) > MAX_LABELS:",
        "if len(labels) >= MAX_LABELS:",
        (f"{_TEXT}test_448_labels_are_accepted_and_449_are_not",),
    ),
    Fault(
        "labels/limit-one-too-large",
        "shared/text.py",
        "if len(labels) > MAX_LABELS:",
        "if len(labels) > MAX_LABELS + 1:",
        (f"{_TEXT}test_448_labels_are_accepted_and_449_are_not",),
    ),
    Fault(
        "labels/transcript-commands-the-decoder",
        "shared/text.py",
        "tokenizer.encode_special_tokens = True",
        "tokenizer.encode_special_tokens = False",
        (f"{_TEXT}test_a_transcript_that_spells_a_token_is_text",),
    ),
    Fault(
        "labels/of-the-raw-transcript",
        "preprocess/pipeline.py",
        'transkription = normalise_transcript(row.transkription or "")',
        'transkription = row.transkription or ""',
        ("tests/unit/test_pipeline.py::test_text_is_normalised_before_it_is_labelled",),
    ),
)

FEATURES = (
    Fault(
        "features/wrong-floor",
        "preprocess/features.py",
        "max(log_mel.max() - np.float32(FEATURE_RANGE), SILENCE)",
        "max(log_mel.min(), SILENCE)",
        (f"{_FEATURES}test_values_span_no_more_than_the_range_above_the_floor_and_some_lie_on_it",),
    ),
    Fault(
        "features/floor-below-silence",
        "preprocess/features.py",
        "max(log_mel.max() - np.float32(FEATURE_RANGE), SILENCE)",
        "log_mel.max() - np.float32(FEATURE_RANGE)",
        (f"{_FEATURES}test_the_floor_never_falls_below_digital_silence",),
    ),
    Fault(
        "features/frames-off-by-one",
        "shared/schema.py",
        "return min(-(-(num_samples + N_FFT // 2) // HOP_LENGTH), window)",
        "return min(-(-num_samples // HOP_LENGTH), window)",
        (f"{_SCHEMA}test_frames_are_those_that_carry_signal",),
    ),
    Fault(
        "features/padded-with-0",
        "shared/rows.py",
        "out[num_frames:] = floor",
        "out[num_frames:] = 0.0",
        (f"{_FEATURES}test_rebuilding_puts_the_floor_after_the_rows_own_frames",),
    ),
    Fault(
        "features/symmetric-window",
        "preprocess/features.py",
        "np.hanning(N_FFT + 1)[:-1]",
        "np.hanning(N_FFT)",
        (f"{_PARITY}test_every_length_rebuilds_to_whispers_window",),
    ),
    Fault(
        "features/border-repeated",
        "preprocess/features.py",
        "edge[:head] = edge[2 * head : head : -1]",
        "edge[:head] = edge[2 * head - 1 : head - 1 : -1]",
        (f"{_PARITY}test_every_length_rebuilds_to_whispers_window",),
    ),
    Fault(
        "features/an-earlier-clips-samples-stay",
        "preprocess/features.py",
        "        edge[head + len(inside) :] = 0.0\n",
        "",
        (f"{_FEATURES}test_a_clip_gives_the_same_bytes_whatever_came_before_it",),
    ),
    Fault(
        "features/uint8-cut-off-instead-of-rounded",
        "preprocess/features.py",
        "np.rint(steps, out=steps)",
        "np.floor(steps, out=steps)",
        (f"{_FEATURES}test_a_uint8_payload_errs_by_at_most_half_a_step",),
    ),
    Fault(
        "features/uint8-read-without-its-floor",
        "shared/rows.py",
        "        out += np.float32(floor)\n",
        "        out += np.float32(-1.5)\n",
        (f"{_FEATURES}test_a_uint8_payload_keeps_the_floor_exactly_and_uses_all_steps",),
    ),
)

AUDIO = (
    Fault(
        "audio/no-limit-of-seconds",
        "preprocess/audio_limits.py",
        "if num_frames > limits.max_seconds * layout.sampling_rate:",
        "if False:",
        (f"{_AUDIO}test_the_limit_of_seconds_is_inclusive_and_the_message_says_how_long",),
    ),
    Fault(
        "audio/limit-of-seconds-exclusive",
        "preprocess/audio_limits.py",
        "if num_frames > limits.max_seconds * layout.sampling_rate:",
        "if num_frames >= limits.max_seconds * layout.sampling_rate:",
        (f"{_AUDIO}test_the_limit_of_seconds_is_inclusive_and_the_message_says_how_long",),
    ),
    Fault(
        "audio/decoded-bytes-of-one-channel",
        "preprocess/audio_limits.py",
        "num_bytes = 4 * layout.channels * num_frames",
        "num_bytes = 4 * num_frames",
        (f"{_AUDIO}test_the_byte_limits_count_encoded_bytes_and_decoded_bytes_of_all_channels",),
    ),
    Fault(
        "audio/first-channel-instead-of-the-mean",
        "preprocess/audio_limits.py",
        "if block.shape[1] == 1:",
        "if block.shape[1]:",
        (f"{_AUDIO}test_a_clip_decodes_to_what_librosa_loads",),
    ),
    Fault(
        "audio/nan-passes",
        "preprocess/audio.py",
        "if not (samples.min() >= -PEAK_LIMIT and samples.max() <= PEAK_LIMIT):",
        "if samples.min() < -PEAK_LIMIT or samples.max() > PEAK_LIMIT:",
        (f"{_AUDIO}test_one_value_that_is_no_sample_rejects_the_clip",),
    ),
    Fault(
        "audio/truncated-wav-passes",
        "preprocess/audio.py",
        "    _check_riff(encoded)\n    #",
        "    #",
        (f"{_AUDIO}test_a_file_cut_short_of_the_length_it_promises_is_undecodable",),
    ),
    Fault(
        "audio/resampled-one-sample-short",
        "preprocess/audio.py",
        "num_samples = -(-len(samples) * SAMPLING_RATE // sampling_rate)",
        "num_samples = len(samples) * SAMPLING_RATE // sampling_rate",
        (f"{_AUDIO}test_resampling_gives_librosas_samples_at_any_rate_and_length",),
    ),
)

SOURCES = (
    Fault(
        "sources/path-outside-the-data-set-opened",
        "preprocess/sources/confine.py",
        "if os.path.commonpath([real_root, real]) != real_root:",
        "if False:",
        (f"{_PARQUET}test_a_row_without_bytes_reads_its_file_inside_the_data_set_only",),
    ),
    Fault(
        "sources/folder-that-begins-alike-is-inside",
        "preprocess/sources/confine.py",
        "if os.path.commonpath([real_root, real]) != real_root:",
        "if not real.startswith(real_root):",
        (f"{_CLIPS}test_a_folder_beside_the_data_set_whose_name_begins_alike_is_outside",),
    ),
    Fault(
        "sources/links-not-resolved",
        "preprocess/sources/confine.py",
        "real = os.path.realpath(os.path.join(real_root, name))",
        "real = os.path.normpath(os.path.join(real_root, name))",
        (f"{_CLIPS}test_a_clip_is_never_read_outside_the_folder",),
    ),
    Fault(
        "sources/huge-file-read",
        "preprocess/sources/confine.py",
        "    if status.st_size > max_bytes:",
        "    if status.st_size > 2 * max_bytes:",
        (f"{_CLIPS}test_a_file_above_the_cap_is_not_read",),
    ),
    Fault(
        "sources/wrong-text-column-accepted",
        "preprocess/sources/columns.py",
        "    if columns.text not in names:\n",
        "    if not names:\n",
        (f"{_COLUMNS}test_another_transcript_column_in_its_place_is_named_with_its_remedy",),
    ),
    Fault(
        "sources/wrong-source-column-accepted",
        "preprocess/sources/columns.py",
        "if columns.source not in names and columns.source != Columns().source:",
        "if not names:",
        (f"{_COLUMNS}test_a_missing_source_column_is_tolerated_only_under_its_default_name",),
    ),
    Fault(
        "sources/audio-of-any-type-accepted",
        "preprocess/sources/columns.py",
        'if not pa.types.is_struct(kind) or not _children(kind) & {"bytes", "path"}:',
        "if not pa.types.is_struct(kind):",
        (f"{_COLUMNS}test_audio_that_is_no_struct_of_bytes_and_path_is_refused_with_the_cast_that_makes_it_one",),
    ),
)

FAULTS = (*LABELS, *FEATURES, *AUDIO, *SOURCES)
