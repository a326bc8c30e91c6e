"""Tests of HTML pages from templates."""

import jinja2
import pytest

from sagan_tf.visualization.html_page import render_page

PAGE = ("sagan_tf.visualization", "attention_page.html.jinja")


def test_text_is_escaped() -> None:
    page = render_page(*PAGE, title="<b>&", data={"name": "</script>"})
    assert "&lt;b&gt;&amp;" in page and "<b>" not in page and page.count("</script>") == 2


def test_every_variable_needs_a_value() -> None:
    with pytest.raises(jinja2.UndefinedError, match="title"):
        render_page(*PAGE, data={})
