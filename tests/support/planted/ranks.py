"""Faults in what several share: ranks their gradients and optimiser, clips a GPU's memory, trainings their logs."""

from tests.support.planted.fault import Fault

_RANKS = "tests/trainer/test_ranks.py::"
_STATE = "tests/trainer/test_optimiser_state.py::"
_TRAIN = "tests/trainer/test_train.py::"
_EVALUATION = "tests/trainer/test_evaluation.py::"
_TELEMETRY = "tests/trainer/test_telemetry.py::"
_SHARED_LOGS = f"{_TELEMETRY}test_trainings_that_share_a_log_folder_in_turn_go_on_with_their_own_figures"
_STATE_FILE = "trainer/optimiser_state.py"

EXCHANGE = (
    Fault(
        "exchange/gradients-beside-the-buckets",
        "trainer/exchange.py",
        "            parameter.grad = torch.zeros_like(parameter)\n",
        "            parameter.grad = None\n",
        (f"{_RANKS}test_two_ranks_and_their_micro_batches_add_up_to_one_batch",),
    ),
)

OPTIMISER = (
    Fault(
        "optimiser/goes-on-with-another-kinds-state",
        _STATE_FILE,
        'if saved.get("kind") != kind(optimiser):',
        "if False:",
        (f"{_STATE}test_the_state_of_another_optimiser_is_left_alone",),
    ),
    Fault(
        "optimiser/only-the-first-ranks-share-is-saved",
        _STATE_FILE,
        "        found |= {place: _received(entry, sender, ranks) for place, entry in sent.items()}\n",
        "        _ = {place: _received(entry, sender, ranks) for place, entry in sent.items()}\n",
        (f"{_TRAIN}test_two_ranks_go_on_bit_for_bit_each_with_its_share_of_the_optimiser",),
    ),
    Fault(
        "optimiser/saved-state-goes-on-changing",
        _STATE_FILE,
        '"state": copy_to_cpu(_own_state(optimiser))}',
        '"state": _own_state(optimiser)}',
        (f"{_STATE}test_a_saved_state_does_not_change_with_the_optimiser",),
    ),
)

EVALUATION = (
    Fault(
        "evaluation/runaway-clips-say-as-much-as-their-neighbours",
        "trainer/evaluation.py",
        "[ids[:most] for ids, most in zip(tokens.tolist(), longest, strict=True)]",
        "tokens.tolist()",
        (f"{_EVALUATION}test_clips_that_find_no_room_at_once_are_evaluated_by_halves",),
    ),
    Fault(
        "evaluation/second-half-forgotten",
        "trainer/evaluation.py",
        "return self._with_room(model, clips[:half]) + self._with_room(model, clips[half:])",
        "return self._with_room(model, clips[:half])",
        (f"{_EVALUATION}test_clips_that_find_no_room_at_once_are_evaluated_by_halves",),
    ),
    Fault(
        "evaluation/contexts-of-the-longest-neighbour",
        "trainer/evaluation.py",
        "        for frames in np.unique(clips.frames)[::-1].tolist():\n"
        "            alike = clips[clips.frames == frames]\n",
        "        for frames in [int(clips.frames.max())]:\n            alike = clips\n",
        (f"{_EVALUATION}test_a_clips_context_does_not_show_how_many_ranks_or_how_much_memory_there_are",),
    ),
    Fault(
        "evaluation/clips-over-the-window-cut-and-scored",
        "trainer/transcribing.py",
        "fitting = [row for row in chosen if split.num_frames[row] <= WINDOW_FRAMES]",
        "fitting = list(chosen)",
        ("tests/trainer/test_evaluate.py::test_a_split_whose_clips_are_all_over_30_s_is_a_wrong_usage",),
    ),
)

LOGS = (
    Fault(
        "logs/another-runs-figures-gone-on-with",
        "trainer/log_owner.py",
        "if path.exists() and owner(path) not in {None, run}:",
        "if False:",
        (_SHARED_LOGS,),
    ),
    Fault(
        "logs/own-figures-left-aside",
        "trainer/log_owner.py",
        "own = next((file for file in away if owner(file) == run), None)",
        "own = None",
        (_SHARED_LOGS,),
    ),
    Fault(
        "logs/held-by-nobody",
        "trainer/session.py",
        "            stack.enter_context(hold_logs(log_folder(settings, settings.output_folder)))\n",
        "",
        (f"{_TRAIN}test_a_second_run_with_the_same_log_folder_at_the_same_time_is_refused",),
    ),
)

FAULTS = (*EXCHANGE, *OPTIMISER, *EVALUATION, *LOGS)
