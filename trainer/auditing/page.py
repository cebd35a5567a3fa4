"""The worst rows of an audit for people to look at: `audit.html`, in the evaluation's page's own dress."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from shared.system.durable import write_durably
from shared.system.locks import remove_unheld
from trainer.evaluation.reporting.html_report import MAX_PIECES, page_environment
from trainer.evaluation.scoring import Normaliser, align, normalise

PAGE = "audit.html"
_TEMPLATES = Path(__file__).parent / "templates"


def write_page(
    title: str, table: pa.Table, suspects: int, counts: Mapping[str, int], output: Path, *, shown: int
) -> None:
    """Writes the page about the first *shown* rows of *table*, worst first, into the folder *output*."""
    page = render_page(title, table, suspects, counts, shown=shown)
    partial = output / f".{PAGE}.partial"
    remove_unheld(partial)
    write_durably(output / PAGE, page.encode("utf-8", "backslashreplace"), partial)


def render_page(title: str, table: pa.Table, suspects: int, counts: Mapping[str, int], *, shown: int) -> str:
    """The page, as HTML; *suspects* of the rows went to a table of their own, *counts* say how they look."""
    template = page_environment(_TEMPLATES).get_template("audit.html.j2")
    rows = list(_rows(table.slice(0, shown)))
    return template.render(title=title, rows=rows, suspects=suspects, counts=counts, max_pieces=MAX_PIECES)


def _rows(table: pa.Table) -> Iterator[dict[str, Any]]:
    """Each row with the alignment of what it says and what was heard."""
    for row in table.to_pylist():
        texts = [normalise(row[name] or "", Normaliser.BASIC) for name in ("reference", "hypothesis")]
        yield row | {"pieces": align(*texts)}
