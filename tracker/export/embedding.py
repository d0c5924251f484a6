"""Charts inside a page of their own: a picture each, and plotly.js, which puts the interactive chart in its place.

The page opens anywhere without a network. Where no script runs (no JavaScript, a browser without DecompressionStream,
a mail's preview) and on paper, the pictures stand. The library is packed by gzip: half a megabyte.
"""

from __future__ import annotations

import base64
import json
from functools import cache
from pathlib import Path

import plotly.graph_objects as go
from markupsafe import Markup

from tracker.export.drawing import draw
from tracker.report.style import PLOTLY_CONFIG

LIBRARY = Path(__file__).parent / "plotlyjs" / "plotly-basic.min.js.gz"
PICTURE_WIDTH = 900
_DARK = "<style>@media (prefers-color-scheme: dark) { text { fill: #e8eaee !important } }</style>"
_LOADER = """
(async () => {
  const packed = atob(document.getElementById("plotly-js").textContent.trim());
  const bytes = Uint8Array.from(packed, (letter) => letter.charCodeAt(0));
  const unpacked = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(unpacked).text();
  document.head.append(script);
  for (const chart of document.querySelectorAll("script[data-chart]")) {
    const figure = chart.parentElement, place = document.getElementById(chart.dataset.chart);
    const { data, layout, config } = JSON.parse(chart.textContent);
    figure.classList.add("live");
    try {
      await Plotly.newPlot(place, data, layout, config);
    } catch (error) {
      figure.classList.remove("live");
      console.warn("The picture stands for the chart: " + error.message);
    }
  }
})();
"""


def embedded(figure: go.Figure, name: str, description: str) -> Markup:
    """A chart's place in a page, its picture and its data, which ``library`` draws.

    ``description`` is for who sees neither.
    """
    spec = {**json.loads(figure.to_json()), "config": PLOTLY_CONFIG}
    # What < would begin is a tag; in JSON, \\u003c is the same letter.
    text = json.dumps(spec, ensure_ascii=False).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    height = int(figure.layout.height or 300)
    # Above the interactive chart is room for its toolbar; the picture has none.
    picture_height = height - 40 if figure.layout.showlegend else height
    return Markup(
        '<figure><img class="picture" alt="{description}" width="{width}" height="{picture_height}" src="{picture}">'
        '<div class="drawn" id="chart-{name}" role="group" aria-label="{description}" style="min-height: {height}px">'
        '</div><script type="application/json" data-chart="chart-{name}">{data}</script></figure>'
    ).format(
        description=description,
        name=name,
        width=PICTURE_WIDTH,
        height=height,
        picture_height=picture_height,
        picture=_picture(figure, picture_height),
        data=Markup(text),
    )


def _picture(figure: go.Figure, height: int) -> str:
    """The chart as the address of an image that holds it, for light and dark pages."""
    svg = draw(figure, "svg", PICTURE_WIDTH, height)
    start = svg.index(b">", svg.index(b"<svg")) + 1
    return "data:image/svg+xml;base64," + base64.b64encode(svg[:start] + _DARK.encode() + svg[start:]).decode()


@cache
def library() -> Markup:
    """The scripts that draw all charts of a page; they stand behind the charts."""
    packed = base64.b64encode(LIBRARY.read_bytes()).decode()
    return Markup('<script type="text/plain" id="plotly-js">{}</script><script>{}</script>').format(
        Markup(packed), Markup(_LOADER)
    )
