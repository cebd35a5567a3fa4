"""What a check says of machines with one thing wrong, and what it then leaves alone."""

from dataclasses import replace

import pytest

from tests.support.made_up_machines import CARD, GIB, MACHINE, NO_CARD, NONE, TWO, examined, one_gpu
from trainer.checking.checks import CHECKS
from trainer.checking.observations import Driver, Export
from trainer.checking.verdict import State, left_out
from trainer.checking.world import Outcome

HANGS = Outcome(trouble="did not end within 120 s")
CUDA_ONLY = {"driver", "GPUs", "/dev/shm", "memory cap", "GPU memory"}


def states(world, state):
    return {name for name, verdict in world.verdicts.items() if verdict.state is state}


def the_one_to_fix(observed, machine=MACHINE, **wishes):
    world, _ = examined(observed, machine, **wishes)
    (name,) = states(world, State.FIX)
    return name, world.verdicts[name], world


def test_of_a_machine_on_which_all_is_well_every_line_is_ok():
    world, asked = examined(TWO)
    assert states(world, State.OK) == {check.name for check in CHECKS}
    assert sorted(asked) == sorted(TWO)


def test_each_line_without_a_gpu_is_tried_or_told_why_it_is_not():
    world, asked = examined(NONE, NO_CARD)
    assert states(world, State.LEFT_OUT) == CUDA_ONLY
    assert not states(world, State.FIX)
    assert all(world.verdicts[name] == left_out("no NVIDIA GPU in this machine") for name in CUDA_ONLY)
    assert "cap" not in asked


def test_a_card_that_the_user_hides_is_not_looked_for():
    world, asked = examined(NONE, replace(MACHINE, visible=""))
    assert states(world, State.LEFT_OUT) == CUDA_ONLY
    assert world.verdicts["driver"] == left_out("CUDA_VISIBLE_DEVICES is empty")
    assert "driver" not in asked


def test_of_one_gpu_all_is_tried_but_what_is_between_two():
    world, asked = examined(one_gpu())
    assert states(world, State.LEFT_OUT) == {"ranks", "/dev/shm"}
    assert not states(world, State.FIX)
    assert "links" not in asked


def test_nccl_that_hangs_is_a_line_with_what_to_try_and_the_rest_goes_on_with_one_rank():
    alone = replace(TWO["training"], ranks=1, samples_per_second=8.0)
    name, verdict, world = the_one_to_fix(TWO | {"links": HANGS, "training": alone})
    assert (name, verdict.words) == ("ranks", "did not end within 120 s")
    assert "NCCL_P2P_DISABLE=1" in verdict.remedy
    assert "on 1 GPU in fp16," in world.verdicts["training"].words


def test_a_driver_that_is_too_old_for_torch_is_told_with_both_versions_and_both_ways_out():
    old = {"driver": Driver("550.54.14", "12.4", [CARD, CARD]), "torch": _blind()}
    name, verdict, world = the_one_to_fix(NONE | old)
    assert name == "torch"
    assert "CUDA 13.0" in verdict.words
    assert "12.4" in verdict.words
    assert "580" in verdict.remedy
    assert "a torch for CUDA 12.4" in verdict.remedy
    assert world.verdicts["driver"].state is State.OK
    assert world.verdicts["memory cap"] == left_out("torch sees no GPU")


def test_a_driver_of_the_same_major_version_is_new_enough():
    world, _ = examined(TWO | {"driver": Driver("580.65.06", "13.0", [CARD, CARD])})
    assert world.verdicts["torch"].state is State.OK


def test_a_torch_for_cpus_beside_a_gpu_is_told():
    name, verdict, _ = the_one_to_fix(NONE | {"driver": TWO["driver"]})
    assert (name, verdict.words) == ("torch", "2.13.0+cpu is built for CPUs only")
    assert "pip install a torch for CUDA 13.0" in verdict.remedy


def test_a_torch_that_finds_no_gpu_says_what_it_said():
    said = "CUDA initialization: CUDA unknown error"
    name, verdict, _ = the_one_to_fix(NONE | {"driver": TWO["driver"], "torch": replace(_blind(), said=said)})
    assert name == "torch"
    assert said in verdict.words


@pytest.mark.parametrize(
    ("driver", "words", "remedy"),
    [
        (Driver(silent="NVML Shared Library Not Found"), "2 NVIDIA cards and no driver", "--gpus all"),
        (Driver("550.54", silent="Driver/library version mismatch"), "mismatch", "restart"),
        (Driver("550.54", silent="Unknown Error"), "Unknown Error", "dmesg"),
        (Driver("550.54"), "names no GPU", "nvidia-smi"),
    ],
)
def test_a_driver_that_does_not_answer_is_one_line_and_torch_is_not_blamed(driver, words, remedy):
    name, verdict, world = the_one_to_fix(NONE | {"driver": driver, "torch": _blind()})
    assert name == "driver"
    assert words in verdict.words
    assert remedy in verdict.remedy
    assert world.verdicts["GPUs"] == left_out("torch sees none of them")


def test_a_torch_that_does_not_even_start_is_told_once():
    broken = Outcome(trouble="ImportError: libcudart.so.13: cannot open shared object file")
    name, verdict, world = the_one_to_fix(TWO | {"torch": broken})
    assert name == "torch"
    assert "libcudart" in verdict.words
    assert world.verdicts["training"] == world.verdicts["fp16"] == left_out("torch does not work")


def test_a_driver_that_hangs_is_a_line_and_torch_is_asked_all_the_same():
    world, asked = examined(TWO | {"driver": HANGS})
    assert states(world, State.FIX) == {"driver"}
    assert "torch" in asked


def test_one_of_two_cards_that_torch_does_not_see_is_missed():
    observed = one_gpu() | {"driver": TWO["driver"]}
    name, verdict, _ = the_one_to_fix(observed)
    assert (name, verdict.words) == ("GPUs", "torch sees 1 of 2 GPUs")


def test_a_card_that_the_user_left_out_is_not_missed():
    world, _ = examined(one_gpu() | {"driver": TWO["driver"]}, replace(MACHINE, visible="0"))
    assert not states(world, State.FIX)
    assert "1 of 2 by CUDA_VISIBLE_DEVICES" in world.verdicts["GPUs"].words


@pytest.mark.parametrize(
    ("capability", "kernels", "runs"),
    [
        ("sm_89", ["sm_86"], True),
        ("sm_120", ["sm_90", "sm_100"], False),
        ("sm_120", ["sm_90", "compute_90"], True),
        ("sm_61", ["sm_75", "sm_80", "compute_120"], False),
        ("sm_86", ["sm_89"], False),
        ("sm_90", ["sm_90a"], True),
    ],
)
def test_a_card_that_torch_has_no_kernels_for_is_told(capability, kernels, runs):
    build = replace(TWO["torch"], capabilities=[capability, capability], kernels=kernels)
    world, _ = examined(TWO | {"torch": build})
    assert (world.verdicts["GPUs"].state is State.OK) == runs


def test_a_gpu_that_something_else_has_filled_is_told():
    name, verdict, _ = the_one_to_fix(TWO | {"torch": replace(TWO["torch"], free=[15 * GIB, 5 * GIB])})
    assert (name, verdict.words) == ("GPUs", "of GPU 1 only 5.0 GiB of 16.0 GiB are free")


def test_unlike_cards_are_both_named():
    build = replace(TWO["torch"], names=[CARD, "NVIDIA GeForce RTX 3090"], total=[16 * GIB, 24 * GIB])
    world, _ = examined(TWO | {"torch": replace(build, free=build.total)})
    assert world.verdicts["GPUs"].words == "1 x RTX 4060 Ti, 16.0 GiB; 1 x RTX 3090, 24.0 GiB"


def test_the_shared_memory_of_a_plain_container_is_too_small():
    name, verdict, _ = the_one_to_fix(TWO, replace(MACHINE, shm_bytes=64 << 20))
    assert name == "/dev/shm"
    assert "--shm-size" in verdict.remedy


def test_on_a_full_disk_nothing_is_trained_and_the_rest_is_tried():
    name, verdict, world = the_one_to_fix(TWO, replace(MACHINE, disk_bytes=2 * GIB))
    assert name == "disk"
    assert "--work-dir" in verdict.remedy
    late = {"training", "speed", "GPU memory", "checkpoint", "export", "CTranslate2"}
    assert states(world, State.LEFT_OUT) == late


def test_a_disk_that_fills_up_meanwhile_is_the_trainings_line_and_what_follows_is_left_out():
    full = Outcome(trouble="the checkpoint needs 6.5 GB, 2.1 GB are free", remedy="make room")
    name, verdict, world = the_one_to_fix(TWO | {"training": full})
    assert (name, verdict.remedy) == ("training", "make room")
    assert states(world, State.LEFT_OUT) == {"speed", "GPU memory", "checkpoint", "export", "CTranslate2"}


def test_without_bitsandbytes_nothing_is_trained_on_gpus_as_it_would_fail_there():
    missing = Outcome(trouble="--optim adamw-8bit needs bitsandbytes", remedy="pip install bitsandbytes")
    name, verdict, world = the_one_to_fix(TWO | {"moments": missing})
    assert (name, verdict.remedy) == ("8-bit AdamW", "pip install bitsandbytes")
    assert world.verdicts["training"] == left_out("no 8-bit AdamW")
    on_cpus, _ = examined(NONE | {"moments": missing}, NO_CARD)
    assert on_cpus.verdicts["training"].state is State.OK


@pytest.mark.parametrize(
    ("probe", "change", "check"),
    [
        ("links", {"right": False}, "ranks"),
        ("halves", {"half": [7.6, 9.0]}, "fp16"),
        ("halves", {"half": [7.6, float("nan")]}, "fp16"),
        ("halves", {"skipped": False}, "fp16"),
        ("halves", {"scale_after": 2.0**100}, "fp16"),
        ("halves", {"unchanged": False}, "fp16"),
        ("cap", {"refused": False}, "memory cap"),
        ("cap", {"given": False}, "memory cap"),
        ("moments", {"eight_bit": 0.5}, "8-bit AdamW"),
        ("moments", {"eight_bit": float("nan")}, "8-bit AdamW"),
        ("training", {"losses": [10.9, float("nan")]}, "training"),
        ("training", {"losses": []}, "training"),
        ("training", {"skipped": 12}, "training"),
        ("training", {"samples_per_second": 1.0}, "speed"),
        ("training", {"vram_bytes": 30 * GIB}, "GPU memory"),
        ("training", {"checkpoint_step": 8}, "checkpoint"),
        ("export", {"problems": ["vocabulary.json: not there"]}, "export"),
        ("ctranslate2", {"encoder_error": 0.5}, "CTranslate2"),
        ("ctranslate2", {"divergence": float("nan")}, "CTranslate2"),
    ],
)
def test_a_figure_that_is_wrong_is_the_line_of_its_check(probe, change, check):
    name, verdict, _ = the_one_to_fix(TWO | {probe: replace(TWO[probe], **change)})
    assert name == check
    assert verdict.remedy


@pytest.mark.parametrize("probe", sorted({check.probe for check in CHECKS if check.probe}))
def test_whatever_probe_is_killed_makes_one_line_with_something_to_do(probe):
    world, _ = examined(TWO | {probe: Outcome(trouble="ended by SIGSEGV")})
    (name,) = states(world, State.FIX)
    assert world.verdicts[name].words == "ended by SIGSEGV"
    assert world.verdicts[name].remedy
    assert list(world.verdicts) == [check.name for check in CHECKS]


def test_where_cublas_is_missing_the_export_is_fine_and_ctranslate2_says_what_to_install():
    missing = Outcome(trouble="CTranslate2 finds no libcublas.so.12", remedy="pip install nvidia-cublas-cu12")
    name, verdict, _ = the_one_to_fix(TWO | {"ctranslate2": missing, "export": Export(1, 1.0)})
    assert (name, verdict.remedy) == ("CTranslate2", "pip install nvidia-cublas-cu12")


def test_of_a_gpu_whose_speed_is_not_known_none_is_expected():
    build = replace(TWO["torch"], names=["NVIDIA Something New"] * 2)
    world, _ = examined(TWO | {"torch": build, "training": replace(TWO["training"], samples_per_second=0.1)})
    assert world.verdicts["speed"].state is State.OK


def _blind():
    return replace(TWO["torch"], names=[], total=[], free=[], capabilities=[], kernels=[])
