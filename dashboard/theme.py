"""How the pages look: Streamlit's own theme, with colours that can be read and with headings as deep as they are large.

Captions are 60 % of the text's colour: with these colours every text has the contrast that WCAG 2.2 asks for at level
AA, 4.5 to 1 (tests/dashboard/test_accessibility.py measures it). The blue is that of the charts
(tracker.report.style), darker on white and lighter on black; Streamlit's red reads as an error.
"""

from __future__ import annotations

import json

HEADING_SIZES = ("2rem", "1.5rem", "1.25rem", "1.1rem", "1rem", "1rem")
"""Of a page's title (h1), of its parts (h2), and of what is in those."""

THEME = {
    "theme.headingFontSizes": json.dumps(HEADING_SIZES),
    "theme.light.textColor": "#101318",
    "theme.light.codeTextColor": "#101318",
    "theme.light.primaryColor": "#1f6391",
    "theme.dark.primaryColor": "#2f79b2",
    "theme.dark.codeTextColor": "#e8e6e1",
}
"""Streamlit's options, by their names."""

STYLE = """<style>
[data-testid="stMainBlockContainer"] { padding-top: 3.75rem; }
[data-selected="true"] p, [role="tab"][aria-selected="true"] p { color: light-dark(#1f6391, #8cc6ee) !important; }
</style>"""
"""What is chosen is written in the primary colour; on black, one that white can be read on is itself too dark."""
