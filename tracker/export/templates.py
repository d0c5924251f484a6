"""The templates of pages: HTML in which every text stays text."""

from __future__ import annotations

import jinja2
from markupsafe import Markup

from tracker.report import words


def _shown(value: object) -> object:
    """A text with what would turn or hide the text after it written out; markup of the page's own as it is."""
    return words.visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


_PAGES = jinja2.Environment(
    loader=jinja2.PackageLoader("tracker.export", "."),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    finalize=_shown,
)
_PAGES.filters |= {
    name: getattr(words, name) for name in ("quality", "duration", "percent", "setting", "several", "hours")
}


def page(template: str, **values: object) -> str:
    """A page from a template of this package, by the template's file name; it says when it was written."""
    return _PAGES.get_template(template).render(written_at=words.now(), **values)
