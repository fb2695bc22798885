"""Pages of one self-contained HTML file, from the templates beside this module."""

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from headstart.artifact.numbers import share


def render_page(template: str, **values: Any) -> str:
    """The page that a template makes from the values, which are escaped."""
    environment = Environment(
        loader=PackageLoader("headstart", "artifact"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["share"] = share
    return environment.get_template(template).render(**values)
