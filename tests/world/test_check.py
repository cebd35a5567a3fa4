"""GPUs that did not work for people who reported it: what `trainer.check` says of the same machine, and what to do.

No GPU is needed: the machines are observations, as driver, torch and NCCL gave them in the reports.
"""

from dataclasses import replace

import pytest

from tests.support.made_up_machines import CARD, GIB, MACHINE, NONE, TWO, examined
from trainer.checking.bench import complaint
from trainer.checking.observations import Driver
from trainer.checking.verdict import State
from trainer.checking.world import Outcome

SHM_FULL_2020 = """\
gpu2:2143:2561 [1] include/shm.h:28 NCCL WARN Call to posix_fallocate failed : No space left on device
gpu2:2143:2561 [1] NCCL INFO include/shm.h:41 -> 2
"""
SHM_FULL_2026 = """\
h:1 [0] shmutils.cc:88 NCCL WARN Error: failed to extend /dev/shm/nccl-WU88OE to 9637892 bytes: No space left on device
[rank0]: torch.distributed.DistBackendError: NCCL error in: NCCLUtils.hpp:268
"""
NOTHING_SAID = """\
Traceback (most recent call last):
  File x
[rank1]: torch.distributed.DistBackendError: NCCL error in: NCCLUtils.hpp:268, unhandled system error
[rank1]: ncclSystemError: System call (e.g. socket, malloc) or external library call failed
"""
NO_KERNEL = "RuntimeError: CUDA error: no kernel image is available for execution on the device\n"


def to_fix(observed, machine=MACHINE):
    world, _ = examined(observed, machine)
    return {name: verdict for name, verdict in world.verdicts.items() if verdict.state is State.FIX}


def test_cards_without_a_direct_way_on_which_an_all_reduce_never_ends():
    hung = Outcome(trouble="did not end within 120 s")
    found = to_fix(TWO | {"links": hung, "training": replace(TWO["training"], ranks=1)})
    assert set(found) == {"ranks"}
    assert "NCCL_P2P_DISABLE=1" in found["ranks"].remedy


def test_cards_between_which_copies_are_wrong_in_silence():
    found = to_fix(TWO | {"links": replace(TWO["links"], right=False)})
    assert set(found) == {"ranks"}
    assert "wrong" in found["ranks"].words
    assert "NCCL_P2P_DISABLE=1" in found["ranks"].remedy


def test_the_64_mb_of_a_container_are_told_before_nccl_is_asked():
    found = to_fix(TWO, replace(MACHINE, shm_bytes=64 << 20))
    assert set(found) == {"/dev/shm"}
    assert "--shm-size 1g" in found["/dev/shm"].remedy


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (SHM_FULL_2020, "NCCL: Call to posix_fallocate failed : No space left on device"),
        (SHM_FULL_2026, "NCCL: Error: failed to extend /dev/shm/nccl-WU88OE to 9637892 bytes: No space left on device"),
        (NOTHING_SAID, "ncclSystemError: System call (e.g. socket, malloc) or external library call failed"),
        (NO_KERNEL, NO_KERNEL.strip()),
    ],
)
def test_what_nccl_or_cuda_said_is_the_words_of_the_line(said, words):
    assert complaint(said) == (words, "")


@pytest.mark.parametrize(
    ("capability", "kernels"),
    [
        ("sm_120", "sm_50 sm_60 sm_70 sm_75 sm_80 sm_86 sm_90"),
        ("sm_89", "sm_37 sm_50 sm_60 sm_70"),
        ("sm_61", "sm_75 sm_80 sm_86 sm_90 sm_100 sm_120 compute_120"),
    ],
)
def test_a_card_that_this_torch_was_not_built_for(capability, kernels):
    build = replace(TWO["torch"], capabilities=[capability] * 2, kernels=kernels.split())
    found = to_fix(TWO | {"torch": build})
    assert capability in found["GPUs"].words
    assert "pytorch.org" in found["GPUs"].remedy


@pytest.mark.parametrize(("cuda", "version"), [("11.4", "470.223.02"), ("12.2", "535.183.01")])
def test_a_driver_that_is_too_old(cuda, version):
    said = "CUDA initialization: The NVIDIA driver on your system is too old (found version 11040)."
    build = replace(TWO["torch"], names=[], total=[], free=[], capabilities=[], kernels=[], said=said)
    found = to_fix(NONE | {"driver": Driver(version, cuda, [CARD, CARD]), "torch": build})
    assert set(found) == {"torch"}
    assert cuda in found["torch"].words
    assert "580" in found["torch"].remedy


def test_a_driver_that_was_updated_while_it_ran():
    build = replace(TWO["torch"], names=[], total=[], free=[], capabilities=[], kernels=[])
    silent = Driver("550.144", silent="Driver/library version mismatch")
    found = to_fix(NONE | {"driver": silent, "torch": build})
    assert set(found) == {"driver"}
    assert "restart" in found["driver"].remedy


def test_a_torch_for_cpus_in_front_of_two_cards():
    found = to_fix(NONE | {"driver": TWO["driver"]})
    assert set(found) == {"torch"}
    assert "built for CPUs" in found["torch"].words


def test_ctranslate2_beside_a_torch_for_cuda_13():
    message = "CTranslate2 finds no libcublas.so.12 for the GPU"
    found = to_fix(TWO | {"ctranslate2": Outcome(trouble=message, remedy="pip install nvidia-cublas-cu12")})
    assert set(found) == {"CTranslate2"}
    assert found["CTranslate2"].remedy == "pip install nvidia-cublas-cu12"


def test_a_card_whose_memory_something_else_holds():
    found = to_fix(TWO | {"torch": replace(TWO["torch"], free=[2 * GIB, 15 * GIB])})
    assert set(found) == {"GPUs"}
    assert "nvidia-smi" in found["GPUs"].remedy


@pytest.mark.parametrize("visible", ["", None])
def test_somebody_who_wants_no_gpu_is_not_told_of_its_driver(visible):
    machine = replace(MACHINE, visible=visible, cards=0)
    old = Driver() if visible is None else Driver("470.223.02", "11.4", [CARD])
    assert to_fix(NONE | {"driver": old}, machine) == {}
