"""Templates: what comes from outside is shown and escaped, and a name that nobody gave is an error."""

import pytest
from jinja2 import UndefinedError
from markupsafe import Markup

from shared.pages.templates import html_templates, markdown_templates


def test_text_is_shown_and_escaped_and_markup_is_not(tmp_path):
    (tmp_path / "page.j2").write_text("{{ said }}{{ ours }}{{ 1 | twice }}")
    page = html_templates([tmp_path], {"twice": lambda value: value * 2}, str.upper).get_template("page.j2")
    assert page.render(said="<b>", ours=Markup("<i>")) == "&lt;B&gt;<i>2"


def test_markdown_is_as_it_was_given_with_its_last_line_ended(tmp_path):
    (tmp_path / "card.j2").write_text("{{ said }}\n")
    assert markdown_templates([tmp_path], {}).get_template("card.j2").render(said="<b>") == "<b>\n"


def test_a_name_that_is_not_given_is_an_error(tmp_path):
    (tmp_path / "page.j2").write_text("{{ said }}")
    for templates in (html_templates([tmp_path], {}, str), markdown_templates([tmp_path], {})):
        with pytest.raises(UndefinedError, match="said"):
            templates.get_template("page.j2").render()
