"use strict";
// Draws the charts, and answers to pointer and keyboard. Names of files and classes are only ever
// put into the page as text.

const read = (id) => JSON.parse(document.getElementById(id)?.textContent ?? "null");
const specs = read("specs");
const page = read("page-data");
const lists = read("lists");
const HEIGHT = 250; // pixels of a chart
const root = document.documentElement;
const one = (selector) => document.querySelector(selector);
const all = (selector, inside = document) => [...inside.querySelectorAll(selector)];

function element(tag, text, ...classes) {
  const made = document.createElement(tag);
  made.textContent = text;
  made.classList.add(...classes);
  return made;
}

// Themes

const chosen = window.matchMedia("(prefers-color-scheme: dark)");

function setTheme(name) {
  root.dataset.theme = name;
  one("#theme").textContent = name === "dark" ? "Light" : "Dark";
  one("#theme").setAttribute("aria-pressed", String(name === "dark"));
  if (window.Plotly) {
    for (const chart of all(".chart.js-plotly-plot")) restyle(chart);
  }
}

const themed = (name) => getComputedStyle(root).getPropertyValue(`--${name}`).trim();

function themeOf(spec) {
  const axis = { gridcolor: themed("grid"), linecolor: themed("line"), zerolinecolor: themed("line"), automargin: true };
  const layout = { ...spec.layout };
  return {
    ...layout,
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: themed("soft") },
    margin: { l: 44, r: 10, t: layout.showlegend ? 34 : 8, b: 40 },
    height: layout.height ?? HEIGHT,
    hovermode: spec.kind === "map" ? "closest" : layout.hovermode ?? "x",
    hoverlabel: { bgcolor: themed("panel"), bordercolor: themed("line"), font: { color: themed("ink") } },
    legend: { orientation: "h", y: 1.01, yanchor: "bottom", x: 0, font: { size: 11 }, itemsizing: "constant" },
    xaxis: { ...axis, ...layout.xaxis },
    yaxis: { ...axis, ...layout.yaxis },
    dragmode: layout.dragmode ?? (window.matchMedia("(pointer: coarse)").matches ? false : "zoom"),
  };
}

function tracesOf(spec) {
  const heat = [[0, themed("panel")], [1, themed("heat")]];
  return spec.traces.map((trace) => (trace.colorscale === "heat" ? { ...trace, colorscale: heat } : { ...trace }));
}

function restyle(chart) {
  const spec = specs[chart.id];
  const kept = chart.id === "map-chart" ? { dragmode: one("input[name=drag]:checked").value } : {};
  window.Plotly.react(chart, chart.id === "map-chart" ? mapTraces() : shownTraces(spec), { ...themeOf(spec), ...kept });
}

// Charts

async function loadPlotly() {
  const packed = Uint8Array.from(atob(one("#plotly").textContent), (letter) => letter.charCodeAt(0));
  const opened = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(opened).text();
  document.head.append(script);
}

function shownTraces(spec) {
  const smoothing = one("input[name=smoothing]:checked")?.value ?? "both";
  const hidden = new Set(all("input[name=run]:not(:checked)").map((box) => Number(box.value)));
  return tracesOf(spec).map((trace) => {
    if (!trace.meta || spec.kind === "map") return trace;
    const wanted = trace.meta.show === "always" || smoothing === "both" || smoothing === trace.meta.show;
    const alone = smoothing === "raw" && trace.meta.show === "raw" ? { opacity: 1 } : {};
    return { ...trace, ...alone, visible: wanted && !hidden.has(trace.meta.run) };
  });
}

async function drawAll() {
  const options = { displayModeBar: false, responsive: true, showTips: false };
  for (const chart of all(".chart")) {
    const spec = specs[chart.id];
    chart.style.height = `${spec.layout.height ?? HEIGHT}px`;
    await window.Plotly.newPlot(chart, chart.id === "map-chart" ? mapTraces() : shownTraces(spec), themeOf(spec), options);
  }
  if (page) listenToMap();
  root.dataset.ready = "yes";
}

// Images

function tile(row, tag = "button", large = true) {
  const made = document.createElement(tag);
  place(made, row, large);
  made.dataset.row = row;
  if (tag === "button") {
    made.type = "button";
    made.setAttribute("aria-label", described(row));
    made.title = described(row);
  }
  return made;
}

function place(target, row, large = true) {
  const known = large ? page.largePlaces[row] : undefined;
  const [columns, rows] = known === undefined ? page.small : page.large;
  const index = known ?? row;
  const across = (100 * (index % columns)) / Math.max(columns - 1, 1);
  const down = (100 * Math.floor(index / columns)) / Math.max(rows - 1, 1);
  target.classList.remove("small", "large");
  target.classList.add("tile", known === undefined ? "small" : "large");
  target.style.backgroundPosition = `${across}% ${down}%`;
}

const groupOf = (row) => page.groups[page.labels[row]];
const described = (row) => `${page.names[row]}, ${groupOf(row)}`;

function showOne(row) {
  const name = one("#one-name");
  name.replaceChildren(element("bdi", page.names[row]), document.createTextNode(" · "), element("bdi", groupOf(row)));
  place(one("#one-image"), row);
  one("#one-image").setAttribute("aria-label", described(row));
  for (const [id, near] of [["#one-near", page.near], ["#one-beside", page.nearBeside]]) {
    const tiles = near[row].map((other) => tile(other));
    tiles.forEach((made, index) => {
      const same = page.groupKind !== "cluster" && page.labels[near[row][index]] === page.labels[row];
      made.classList.toggle("same", same);
    });
    one(id).replaceChildren(...tiles);
  }
  if (!one("#one").open) one("#one").showModal();
}

// The map

function mapTraces() {
  const projection = one("input[name=projection]:checked").value;
  const group = one("#map-group").value;
  return tracesOf(specs["map-chart"]).map((trace) => {
    const [x, y] = trace.meta[projection];
    const picked = group === "" ? null : trace.customdata.flatMap((row, at) => (page.labels[row] === Number(group) ? [at] : []));
    return { ...trace, x, y, selectedpoints: picked, unselected: { marker: { opacity: 0.12 } } };
  });
}

function listenToMap() {
  const map = one("#map-chart");
  const peek = one("#peek");
  map.on("plotly_hover", (event) => {
    const row = event.points[0].customdata;
    place(peek.querySelector(".tile"), row);
    peek.querySelector("p").replaceChildren(element("bdi", page.names[row]), document.createElement("br"), element("bdi", groupOf(row)));
    peek.hidden = false;
    const { clientX, clientY } = event.event;
    peek.style.left = `${Math.min(clientX + 14, window.innerWidth - 130)}px`;
    peek.style.top = `${Math.min(clientY + 14, window.innerHeight - peek.offsetHeight - 8)}px`;
  });
  map.on("plotly_unhover", () => { peek.hidden = true; });
  map.on("plotly_click", (event) => { peek.hidden = true; showOne(event.points[0].customdata); });
  map.on("plotly_selected", (event) => {
    if (event?.points?.length) showSelection(event.points.map((point) => point.customdata), "in the lasso");
  });
  map.on("plotly_deselect", clearSelection);
}

let selected = [];

function showSelection(rows, where) {
  selected = rows;
  one("#selection").hidden = false;
  one("#selection-title").textContent = `${rows.length.toLocaleString("en")} image${rows.length === 1 ? "" : "s"} ${where}`;
  const counts = new Map();
  for (const row of rows) counts.set(groupOf(row), (counts.get(groupOf(row)) ?? 0) + 1);
  const most = [...counts].sort((a, b) => b[1] - a[1]).slice(0, 8);
  const more = rows.length > 240 ? " The first 240 are shown." : "";
  one("#selection-text").textContent = `${most.map(([name, count]) => `${name}: ${count}`).join(", ")}.${more}`;
  one("#selection-tiles").replaceChildren(...rows.slice(0, 240).map((row) => tile(row, "button", false)));
}

function clearSelection() {
  selected = [];
  one("#selection").hidden = true;
  one("#map-group").value = "";
}

// Lists to keep

function saveCsv(name, rows) {
  const quoted = (cell) => `"${String(cell).replaceAll('"', '""')}"`;
  const text = rows.map((row) => row.map(quoted).join(",")).join("\r\n");
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([`${text}\r\n`], { type: "text/csv" }));
  link.download = `${name}.csv`;
  link.click();
  URL.revokeObjectURL(link.href);
}

// Views

function showBox(view) {
  const row = view.closest(".view-row");
  const box = row.querySelector(".box");
  const [left, top, width, height] = view.dataset.box.split(" ");
  Object.assign(box.style, { left: `${left}%`, top: `${top}%`, width: `${width}%`, height: `${height}%` });
  box.hidden = false;
  row.querySelector(".view-words").textContent = view.getAttribute("aria-label");
}

async function copy(button) {
  const command = button.previousElementSibling;
  try {
    await navigator.clipboard.writeText(command.textContent);
    button.firstChild.textContent = "Copied";
  } catch { // a browser that does not let files write to the clipboard
    window.getSelection().selectAllChildren(command);
    button.firstChild.textContent = "Selected";
  }
}

// Beginning

function listen() {
  setTheme(chosen.matches ? "dark" : "light");
  chosen.addEventListener("change", (event) => setTheme(event.matches ? "dark" : "light"));
  one("#theme").addEventListener("click", () => setTheme(root.dataset.theme === "dark" ? "light" : "dark"));
  let before = null;
  window.addEventListener("beforeprint", () => { before = root.dataset.theme; setTheme("light"); });
  window.addEventListener("afterprint", () => setTheme(before ?? "light"));
  for (const view of all(".view")) {
    for (const kind of ["pointerenter", "focus", "click"]) view.addEventListener(kind, () => showBox(view));
  }
  for (const button of all(".copy")) {
    button.addEventListener("click", () => copy(button));
  }
  for (const input of all("input[name=smoothing], input[name=run]")) {
    input.addEventListener("change", () => {
      for (const chart of all("#curves .chart")) window.Plotly?.react(chart, shownTraces(specs[chart.id]), chart.layout);
    });
  }
  if (page) listenToImages();
}

function listenToImages() {
  document.addEventListener("click", (event) => {
    const row = event.target.closest?.("button.tile")?.dataset.row;
    if (row !== undefined) showOne(Number(row));
  });
  one("#one-close").addEventListener("click", () => one("#one").close());
  one("#one").addEventListener("click", (event) => { if (event.target === one("#one")) one("#one").close(); });
  for (const button of all(".csv")) {
    button.addEventListener("click", () => saveCsv(button.dataset.csv, lists[button.dataset.csv]));
  }
  one("#selection-csv").addEventListener("click", () => {
    saveCsv("selection", [["file", page.groupKind], ...selected.map((row) => [page.names[row], groupOf(row)])]);
  });
  const map = one("#map-chart");
  const redraw = () => restyle(map);
  for (const input of all("input[name=projection], input[name=drag]")) input.addEventListener("change", redraw);
  one("#map-reset").addEventListener("click", redraw);
  one("#selection-clear").addEventListener("click", () => { clearSelection(); redraw(); });
  one("#map-group").addEventListener("change", (event) => {
    const group = event.target.value;
    if (group === "") clearSelection();
    else {
      const rows = page.labels.flatMap((label, row) => (label === Number(group) ? [row] : []));
      showSelection(rows, `of ${page.groups[group]}`);
    }
    redraw();
  });
}

listen();
if (window.DecompressionStream) loadPlotly().then(drawAll);
else for (const chart of all(".chart")) chart.textContent = "Charts need a browser of 2023 or newer; the numbers are in the table.";
