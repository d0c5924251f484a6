// Draws a plotly figure in place: Plotly.react keeps the zoom (uirevision). What is selected, the figure itself shows.

const libraries = new Map();

function load(address) {
  if (!libraries.has(address)) {
    libraries.set(address, new Promise((resolve, reject) => {
      if (window.Plotly) return resolve(window.Plotly);
      const early = document.querySelector(`script[src="${address}"]`);
      const script = early ?? document.createElement("script");
      script.addEventListener("load", () => resolve(window.Plotly));
      script.addEventListener("error", () => reject(new Error(`${address} cannot be loaded`)));
      if (early) return;
      script.src = address;
      document.head.append(script);
    }));
  }
  return libraries.get(address);
}

function themed(layout, host) {
  // The page's own colours: text of the theme, and a background for labels that suits it.
  const style = getComputedStyle(host);
  const text = style.getPropertyValue("--st-text-color").trim() || style.color;
  const background = style.getPropertyValue("--st-background-color").trim() || "#ffffff";
  layout.font = { ...layout.font, color: text };
  const base = layout.template?.layout ?? {};
  layout.hoverlabel = { ...base.hoverlabel, bgcolor: background, font: { ...base.hoverlabel?.font, color: text } };
  layout.uirevision ??= "kept";
  layout.autosize = true;
  return layout;
}

function texts(point) {
  const data = point.customdata;
  return data === undefined || data === null ? [] : [String(Array.isArray(data) ? data[0] : data)];
}

function keepZoom(plot, changes) {
  // Plotly gives up a zoom where the figure's own range changes, as it does while a study grows.
  for (const axis of new Set(Object.keys(changes).flatMap((key) => key.match(/^[xy]axis\d*(?=\.(?:auto)?range)/) ?? []))) {
    const { range, autorange, _rangeInitial0, _rangeInitial1 } = plot._fullLayout[axis];
    const whole = autorange === true || (range[0] === _rangeInitial0 && range[1] === _rangeInitial1);
    if (whole) delete plot.trackerZoom[axis];
    else plot.trackerZoom[axis] = [...range];
  }
}

function zoomed(plot, layout) {
  // Other axes, as uirevision tells, are seen whole at first.
  if (plot.trackerRevision !== layout.uirevision) plot.trackerZoom = {};
  plot.trackerRevision = layout.uirevision;
  const axes = Object.entries(plot.trackerZoom).filter(([axis]) => layout[axis]);
  return { ...layout, ...Object.fromEntries(axes.map(([axis, range]) => [axis, { ...layout[axis], range, autorange: false }])) };
}

function draw(plotly, plot, data, layout, config) {
  // Where only lines and words across the chart have changed, its points are not drawn again.
  const keys = Object.fromEntries(Object.entries(layout).map(([key, value]) => [key, JSON.stringify(value)]));
  const before = plot.trackerLayout ?? {};
  const changed = [...new Set([...Object.keys(keys), ...Object.keys(before)])].filter((key) => keys[key] !== before[key]);
  const same = plot.trackerTraces === data.traces && changed.every((key) => ["shapes", "annotations"].includes(key));
  plot.trackerTraces = data.traces;
  plot.trackerLayout = keys;
  if (!same) return plotly.react(plot, JSON.parse(data.traces), zoomed(plot, layout), config);
  if (!changed.length) return Promise.resolve();
  return plotly.relayout(plot, Object.fromEntries(changed.map((key) => [key, layout[key] ?? []])));
}

function button(host, label, title, action) {
  const element = document.createElement("button");
  element.type = "button";
  element.textContent = label;
  element.title = title;
  element.onclick = action;
  host.append(element);
}

export default function (component) {
  const { data, parentElement, setStateValue } = component;
  const frame = parentElement.querySelector(".chart");
  const plot = frame.querySelector(".plot");
  const files = parentElement.querySelector(".files");
  frame.setAttribute("aria-label", data.alt);
  const layout = themed(JSON.parse(data.layout), parentElement instanceof Element ? parentElement : frame);
  plot.style.height = `${layout.height ?? 400}px`;
  plot.style.minWidth = `${layout.meta?.least_width ?? 0}px`;
  if (data.select) {
    layout.dragmode = plot._fullLayout?.dragmode ?? layout.dragmode ?? "zoom";
    layout.clickmode = "event";
  }
  const config = { ...data.config };
  if (data.select) config.modeBarButtonsToRemove = config.modeBarButtonsToRemove.filter((name) => name !== "select2d");

  load(data.plotly).then((plotly) => draw(plotly, plot, data, layout, config).then(() => {
    plot.dataset.drawn = String(Number(plot.dataset.drawn ?? 0) + 1);
    if (plot.trackerReady) return;
    plot.trackerReady = true;
    const send = (chosen) => {
      plot.trackerSelected = chosen;
      setStateValue("selected", chosen);
    };
    plot.on("plotly_click", (event) => {
      if (!plot.trackerSelect) return;
      const chosen = event.points.flatMap(texts);
      if (!chosen.length) return;
      const add = event.event?.shiftKey || event.event?.ctrlKey || event.event?.metaKey;
      send(add ? [...new Set([...(plot.trackerSelected ?? []), ...chosen])] : chosen);
    });
    plot.on("plotly_selected", (event) => {
      if (plot.trackerSelect && event) send([...new Set(event.points.flatMap(texts))]);
    });
    plot.on("plotly_relayout", (changes) => keepZoom(plot, changes));
    plot.on("plotly_deselect", () => plot.trackerSelect && send([]));
    // A chart in a tab or an expander that is closed has no size; it gets one when it is opened.
    const resize = () => plot.offsetWidth && plotly.Plots.resize(plot).catch(() => undefined);
    new ResizeObserver(resize).observe(frame);
    for (const [format, title] of [["png", "Download the chart as a PNG picture"], ["svg", "Download the chart as an SVG drawing"]]) {
      button(files, format.toUpperCase(), title, () => {
        const solid = { ...plot.layout, paper_bgcolor: getComputedStyle(document.body).backgroundColor };
        plotly.downloadImage({ data: plot.data, layout: solid }, {
          format, filename: plot.trackerFile, width: plot.clientWidth, height: plot.clientHeight, scale: format === "png" ? 2 : 1,
        });
      });
    }
  })).catch((error) => { frame.textContent = `The chart cannot be drawn: ${error.message}`; });
  plot.trackerSelect = data.select;
  plot.trackerSelected = data.selected;
  plot.trackerFile = data.file;
}
