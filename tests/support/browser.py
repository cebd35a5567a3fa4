"""A headless Chromium: the page as it renders, without a network."""

import re
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars")
TIMEOUT_SECONDS = 60
_WIDTH_OF_PAGE = """<iframe id="page" style="width:{width}px;height:900px;border:0"></iframe><p id="found"></p><script>
const frame = document.getElementById("page");
fetch("/page").then(answer => answer.text()).then(text => {{
  frame.srcdoc = text.replace(/<meta http-equiv="refresh"[^>]*>/, "");
  frame.onload = () => {{
    const page = frame.contentDocument;
    const cut = [...page.querySelectorAll("table")].filter(
      table => table.parentElement.scrollWidth > table.parentElement.clientWidth);
    document.getElementById("found").textContent =
      "width " + page.documentElement.scrollWidth + " cut " + cut.map(table => table.rows[0].innerText).join("; ");
  }};
}});
</script>"""


def rendered(url: str, profile: Path, *, script_ms: int = 0) -> str:
    """The document as it stands once the page at *url* is loaded, and its scripts had *script_ms* of their time."""
    waiting = [f"--virtual-time-budget={script_ms}"] if script_ms else []
    return _chromium(profile, *waiting, "--dump-dom", url)


def screenshot(url: str, profile: Path, image: Path, width: int, height: int) -> None:
    """Writes what a window of *width* x *height* shows of *url* as a PNG."""
    _chromium(profile, f"--screenshot={image}", f"--window-size={width},{height}", url)


def scroll_width(page: str, profile: Path, width: int) -> int:
    """How wide *page* is in a window of *width*: more means that it scrolls sideways."""
    return _measured(page, profile, width)[0]


def cut_tables(page: str, profile: Path, width: int) -> str:
    """The heads of *page*'s tables that have columns out of sight in a window of *width*; "" where all are seen."""
    return _measured(page, profile, width)[1]


def _measured(page: str, profile: Path, width: int) -> tuple[int, str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write((page if self.path == "/page" else _WIDTH_OF_PAGE.format(width=width)).encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        document = rendered(f"http://127.0.0.1:{server.server_address[1]}/", profile, script_ms=3_000)
    finally:
        server.shutdown()
        server.server_close()
    found = re.search(r'<p id="found">width (\d+) cut ([^<]*)</p>', document)
    assert found is not None, document
    return int(found[1]), found[2].strip()


def _chromium(profile: Path, *words: str) -> str:
    command = ["chromium", *OPTIONS, f"--user-data-dir={profile}", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=TIMEOUT_SECONDS)
    return done.stdout
