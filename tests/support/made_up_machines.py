"""Machines that a check might meet, as observations: whole, or with one thing wrong."""

from dataclasses import replace

from trainer.checking.checks import examine
from trainer.checking.observations import Build, Cap, Driver, Export, Halves, Links, Moments, Spoken, Training
from trainer.checking.world import Machine, Outcome, Wishes, World

GIB = 1 << 30
CARD = "NVIDIA GeForce RTX 4060 Ti"
MACHINE = Machine(cards=2, shm_bytes=8 * GIB, disk_bytes=200 * GIB, ram_bytes=64 * GIB, cores=6)
TWO = {
    "driver": Driver("580.95.05", "13.0", [CARD, CARD]),
    "torch": Build(
        version="2.13.0+cu130",
        cuda="13.0",
        nccl="2.27.5",
        names=[CARD, CARD],
        total=[16 * GIB, 16 * GIB],
        free=[15 * GIB, 15 * GIB],
        capabilities=["sm_89", "sm_89"],
        kernels=["sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "compute_120"],
    ),
    "links": Links("NCCL", 2, 64 << 20, 0.01, right=True),
    "halves": Halves([7.6, 7.5], [7.6, 7.51], skipped=True, scale_before=2.0**100, scale_after=2.0**99, unchanged=True),
    "cap": Cap(8 * GIB, given=True, refused=True),
    "moments": Moments(0.01, 0.02, 2.1),
    "training": Training(2, 12, [10.9, 10.8], 16.0, 2, 13 * GIB, 5_600, 5_600, 4_900_000_000, 12),
    "export": Export(1_620_000_000, 9.0),
    "ctranslate2": Spoken("cuda", "float16", 2e-3, 1e-5, 0.03, 2e-3, 0.5),
}
"""Two cards of 16 GiB on which all is well."""
NONE = TWO | {
    "driver": Driver(silent="NVML Shared Library Not Found"),
    "torch": Build("2.13.0+cpu", ""),
    "links": Links("gloo", 2, 4 << 20, 0.01, right=True),
    "training": Training(2, 4, [7.65, 7.64], 40.0, 0, None, 12_000, 12_000, 6_500_000, 4),
    "ctranslate2": Spoken("cpu", "float32", 2e-4, 1e-6, 1e-2, 1e-5, 0.5),
}
"""No card at all."""
NO_CARD = replace(MACHINE, cards=0)


def one_gpu():
    """Observations of a machine with one card."""
    build = TWO["torch"]
    return TWO | {
        "driver": replace(TWO["driver"], gpus=[CARD]),
        "torch": replace(
            build, names=[CARD], total=build.total[:1], free=build.free[:1], capabilities=build.capabilities[:1]
        ),
        "training": replace(TWO["training"], ranks=1, samples_per_second=8.0),
    }


def examined(observed, machine=MACHINE, **wishes):
    """The world after all checks of *machine*, whose probes find what is *observed*; and the probes that were asked."""
    asked = []

    def ask(probe, _world):
        asked.append(probe)
        found = observed[probe]
        return found if isinstance(found, Outcome) else Outcome(found)

    *_, world = examine(World(machine, Wishes(**wishes)), ask)
    return world, asked
