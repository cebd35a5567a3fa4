"""The report at a run's end, whatever that end is: a page that cannot be written changes no exit status."""

from preprocess.audience import Audience
from preprocess.outcome import RunSummary
from shared.errors import SpeechPrepError
from shared.layout import StoreLayout


def report_run(audience: Audience, layout: StoreLayout, summary: RunSummary, outcome: str, *, pictures: bool) -> None:
    """Writes `report.html`; *pictures* costs two seconds. The caller holds the store's lock."""
    # Templates and pictures cost half a second to import, which a run that is told not to report need not pay.
    from preprocess.report import REPORT, write_report  # noqa: PLC0415 - as above

    audience.history.finish()
    try:
        write_report(layout, summary, audience.history, outcome, pictures=pictures)
    except (SpeechPrepError, OSError) as error:
        audience.event(f"no report: {error}")
    else:
        audience.event(f"report: {layout.root / REPORT}")
