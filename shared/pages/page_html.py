"""What status pages are made of: one HTML page without outside assets, its bars, figures and events. Pure.

Whatever comes from outside is escaped and on one line; plots are `svg_plots.py`'s.
"""

from collections.abc import Iterable
from html import escape

from shared.text import one_line

_STYLE = """
:root{color-scheme:light dark;--bg:#fff;--fg:#1b1f24;--dim:#59636e;--line:#d1d9e0;--calm:#0969da;--good:#1a7f37;
--warn:#9a6700;--bad:#d1242f}
@media(prefers-color-scheme:dark){:root{--bg:#0d1117;--fg:#e6edf3;--dim:#9198a1;--line:#3d444d;--calm:#4493f8;
--good:#3fb950;--warn:#d29922;--bad:#f85149}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:64rem;padding:1rem;background:var(--bg);color:var(--fg);
font:16px/1.5 system-ui,sans-serif}
h1{font-size:1.1rem;overflow-wrap:anywhere;margin:.2rem 0 1rem}
h2{font-size:1rem;margin:1.5rem 0 .5rem}
.bar{display:grid;grid-template-columns:4rem 1fr;gap:.2rem .8rem;align-items:center;margin:.6rem 0}
.bar>span{grid-column:2;color:var(--dim);font-size:.9rem}
.track{height:.8rem;border-radius:.4rem;background:var(--line);overflow:hidden}
.fill{height:100%;background:var(--calm)}
.normal .fill{background:var(--calm)}.done .fill{background:var(--good)}
.throttle .fill,.pause .fill{background:var(--warn)}.emergency .fill,.stop .fill{background:var(--bad)}
dl{display:grid;grid-template-columns:repeat(auto-fit,minmax(8.5rem,1fr));gap:.6rem;margin:1rem 0}
dt{color:var(--dim);font-size:.8rem}dd{margin:0;font-weight:600}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.9rem}
th,td{text-align:left;padding:.25rem .6rem;border-bottom:1px solid var(--line);white-space:nowrap}
th{color:var(--dim);font-weight:500}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
ol{list-style:none;padding:0;margin:0;font-size:.9rem}li{padding:.15rem 0;overflow-wrap:anywhere}
time{color:var(--dim);margin-right:.8rem}
@media(max-width:30rem){table{font-size:.75rem}th,td{padding:.25rem .2rem}td.w{white-space:normal}}
"""


def page(body: str, *, title: str, heading: str, refresh_seconds: int, style: str = "") -> str:
    """The whole page around *body*, which is HTML; it loads itself again and nothing else. *style* is further CSS."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<meta http-equiv="refresh" content="{refresh_seconds}">'
        f"<title>{text(title)}</title><style>{_STYLE}{style}</style></head><body>"
        f"<h1>{text(heading)}</h1>{body}</body></html>"
    )


def text(words: str) -> str:
    """*words* as HTML, on one line."""
    return escape(one_line(words))


def bar(name: str, value: float, total: float, words: str, style: str) -> str:
    """*value* of *total* as a bar with *words* below it; *style* is a level's name, or `done`."""
    percent = 100 * min(1.0, max(0.0, value / total)) if total > 0 else 0.0
    return (
        f'<div class="bar {escape(style)}"><b>{text(name)}</b><div class="track" role="progressbar" '
        f'aria-label="{text(name)}" aria-valuenow="{percent:.1f}" aria-valuemin="0" aria-valuemax="100">'
        f'<div class="fill" style="width:{percent:.2f}%"></div></div><span>{text(words)}</span></div>'
    )


def figures(pairs: Iterable[tuple[str, str]]) -> str:
    """Values under their names, as many beside each other as there is room for."""
    return (
        "<dl>" + "".join(f"<div><dt>{text(name)}</dt><dd>{text(value)}</dd></div>" for name, value in pairs) + "</dl>"
    )


def events(lines: Iterable[tuple[str, str]]) -> str:
    """When and what, one line each, in the order given."""
    items = "".join(f"<li><time>{text(when)}</time>{text(what)}</li>" for when, what in lines)
    return f"<ol>{items}</ol>" if items else "<p>none</p>"
