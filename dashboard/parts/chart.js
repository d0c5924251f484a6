// Draws a plotly figure in place: Plotly.react keeps the zoom (uirevision), and this file keeps the selection.

const libraries = new Map();

function load(address) {
  if (!libraries.has(address)) {
    libraries.set(address, new Promise((resolve, reject) => {
      if (window.Plotly) return resolve(window.Plotly);
      const script = document.createElement("script");
      script.src = address;
      script.onload = () => resolve(window.Plotly);
      script.onerror = () => reject(new Error(`${address} cannot be loaded`));
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

function mark(plotly, plot, selected) {
  const wanted = new Set(selected);
  const update = [];
  const traces = [];
  plot.data.forEach((trace, at) => {
    if (!trace.customdata || !(trace.mode ?? "markers").includes("markers")) return;
    const own = plot._fullData?.[at]?._length ?? trace.customdata.length;
    const chosen = [];
    for (let index = 0; index < own; index += 1) {
      const data = trace.customdata[index];
      if (wanted.has(String(Array.isArray(data) ? data[0] : data))) chosen.push(index);
    }
    traces.push(at);
    update.push(wanted.size ? chosen : null);
  });
  if (traces.length) plotly.restyle(plot, { selectedpoints: update }, traces);
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
  const figure = JSON.parse(data.figure);
  const layout = themed(figure.layout, parentElement instanceof Element ? parentElement : frame);
  plot.style.height = `${layout.height ?? 400}px`;
  plot.style.minWidth = `${layout.meta?.least_width ?? 0}px`;
  if (data.select) {
    layout.dragmode = plot._fullLayout?.dragmode ?? layout.dragmode ?? "zoom";
    layout.clickmode = "event";
  }
  const config = { ...data.config };
  if (data.select) config.modeBarButtonsToRemove = config.modeBarButtonsToRemove.filter((name) => name !== "select2d");
  const state = (plot.trackerState ??= { sent: null });

  load(data.plotly).then((plotly) => plotly.react(plot, figure.data, layout, config).then(() => {
    plot.dataset.drawn = String(Number(plot.dataset.drawn ?? 0) + 1);
    const selected = state.sent ?? data.selected;
    if (data.select && (selected.length || state.marked)) mark(plotly, plot, selected);
    state.marked = selected.length > 0;
    if (JSON.stringify(state.sent) === JSON.stringify(data.selected)) state.sent = null;
    if (plot.trackerReady) return;
    plot.trackerReady = true;
    const send = (chosen) => {
      state.sent = chosen;
      state.marked = true;
      mark(plotly, plot, chosen);
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
  plot.trackerSelected = state.sent ?? data.selected;
  plot.trackerFile = data.file;
}
