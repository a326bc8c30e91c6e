"""HTML pages from Jinja templates."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined


def render_page(package: str, template: str, **values: Any) -> str:
    """Render an HTML page from a template.

    Args:
        package: Package that has the template beside its modules.
        template: Name of the template's file.
        **values: Values of the template's variables. Text is escaped, except in a template's `|safe`.

    Returns:
        HTML text.

    Raises:
        jinja2.TemplateNotFound: The package has no such template.
        jinja2.UndefinedError: The template has a variable without a value.
    """
    environment = Environment(
        loader=PackageLoader(package, ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(values)
