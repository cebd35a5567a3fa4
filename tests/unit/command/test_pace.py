import io
from threading import Thread

from shared.command import pace
from shared.command.pace import told
from shared.command.terminal import Screen


def test_where_there_is_no_terminal_a_line_comes_every_ten_seconds_and_no_more(monkeypatch):
    now, file = [0.0], io.StringIO()
    monkeypatch.setattr(pace, "monotonic", lambda: now[0])
    with told(Screen(file=file, width=20), "copy", 100, lambda count: f"{count} B") as advance:
        for _ in range(25):
            now[0] += 1.0
            advance(2)
    assert file.getvalue().splitlines() == [
        "copy: 20 B of 100 B, about 40 s left",
        "copy: 40 B of 100 B, about 30 s left",
    ]


def test_threads_add_to_one_figure(monkeypatch):
    file = io.StringIO()
    with told(Screen(file=file), "copy", 800, str) as advance:
        threads = [Thread(target=lambda: [advance(1) for _ in range(100)]) for _ in range(7)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        monkeypatch.setattr(pace, "TELL_SECONDS", 0.0)
        advance(100)
    assert file.getvalue().startswith("copy: 800 of 800, about 0 s left")


def test_a_terminal_has_a_bar_with_the_same_words():
    file = io.StringIO()
    with told(Screen(file=file, width=80, force_terminal=True), "copy", 4, lambda count: f"{count} B") as advance:
        advance(3)
    assert "3 B of 4 B" in file.getvalue()
