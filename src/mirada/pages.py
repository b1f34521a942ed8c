"""Pages that need nothing but themselves: one layout and one look for all, `page.html.j2`, with what they show inside."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mirada import palette

if TYPE_CHECKING:
    from jinja2 import Environment

FOLDER = Path(__file__).parent  # of the layout, page.html.j2


def environment(*folders: Path) -> Environment:
    """Where templates come from: these folders, and the layout's; what they are not given is an error."""
    import jinja2

    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader([*folders, FOLDER]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals |= {"light": palette.LIGHT, "dark": palette.DARK, "shadow": palette.SHADOW}
    return made


def render(template: Path, **content: Any) -> str:
    """A page from a template that extends `page.html.j2`."""
    return environment(template.parent).get_template(template.name).render(**content)


def data_url(content: bytes, kind: str = "png") -> str:
    """An image to stand inside a page; `kind` is 'png' or 'webp'."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
