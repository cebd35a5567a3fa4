"""Hand-made hostile inputs: what a stranger could put into a data set, by name, with the outcome that is certain."""

from tests.support import hostile_boxes, hostile_coded, hostile_other, hostile_pcm
from tests.support.hostile_input import Hostile

FAMILIES = (hostile_other, hostile_pcm, hostile_coded, hostile_boxes)


def hand_made() -> dict[str, Hostile]:
    """All of them, always in the same order; names are unique."""
    inputs = [item for family in FAMILIES for item in family.hostile().items()]
    found = dict(inputs)
    assert len(found) == len(inputs), "two inputs have the same name"
    return found
