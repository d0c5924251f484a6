"""Charts inside a page of their own: plotly.js packed into it, so that the page opens anywhere without a network.

Packed by gzip it takes two megabytes in place of five; browsers unpack it by themselves (DecompressionStream, Chrome
80, Firefox 113, Safari 16.4 and newer). An older one shows words and tables, and says so where charts would be.
"""

from __future__ import annotations

import base64
import gzip
import json
from functools import cache

import plotly.graph_objects as go
import plotly.offline
from markupsafe import Markup

from tracker.report.style import PLOTLY_CONFIG

_LOADER = """
(async () => {
  const charts = document.querySelectorAll("script[data-chart]");
  try {
    const packed = atob(document.getElementById("plotly-js").textContent.trim());
    const bytes = Uint8Array.from(packed, (letter) => letter.charCodeAt(0));
    const unpacked = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.textContent = await new Response(unpacked).text();
    document.head.append(script);
    for (const chart of charts) {
      const { data, layout, config } = JSON.parse(chart.textContent);
      await Plotly.newPlot(chart.dataset.chart, data, layout, config);
    }
  } catch (error) {
    for (const chart of charts) {
      document.getElementById(chart.dataset.chart).textContent = "This browser cannot draw the chart: " + error.message;
    }
  }
})();
"""


def embedded(figure: go.Figure, name: str, description: str) -> Markup:
    """A chart's place in a page, with its data; ``library`` draws it. ``description`` is for who cannot see it."""
    spec = {**json.loads(figure.to_json()), "config": PLOTLY_CONFIG}
    # What < would begin is a tag; in JSON, \\u003c is the same letter.
    text = json.dumps(spec, ensure_ascii=False).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return Markup(
        '<figure role="img" aria-label="{description}"><div id="chart-{name}" style="min-height: {height}px"></div>'
        '<script type="application/json" data-chart="chart-{name}">{data}</script></figure>'
    ).format(description=description, name=name, height=figure.layout.height or 300, data=Markup(text))


@cache
def library() -> Markup:
    """The scripts that draw all charts of a page; they stand behind the charts."""
    packed = base64.b64encode(gzip.compress(plotly.offline.get_plotlyjs().encode(), mtime=0)).decode()
    return Markup('<script type="text/plain" id="plotly-js">{}</script><script>{}</script>').format(
        Markup(packed), Markup(_LOADER)
    )
