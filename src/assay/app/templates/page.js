"use strict";

// Tables: a heading's button sorts by its column; rows without a value stay last.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  for (const button of table.tHead.querySelectorAll("button")) {
    button.addEventListener("click", () => {
      const heading = button.parentElement;
      const descending = heading.getAttribute("aria-sort") === "ascending";
      for (const other of heading.parentElement.cells) other.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
      const value = (row) => row.cells[heading.cellIndex].dataset.value;
      const compare = (a, b) => {
        const [x, y] = [value(a), value(b)];
        if (x === "" || y === "") return (x === "") - (y === "");
        const order = isNaN(x) || isNaN(y) ? x.localeCompare(y) : x - y;
        return descending ? -order : order;
      };
      body.append(...[...body.rows].sort(compare));
    });
  }
}

// Charts: colours are CSS variables, so that a change of scheme only needs another drawing.
const source = document.getElementById("charts");
if (source) {
  const figures = JSON.parse(source.textContent);
  const touch = matchMedia("(pointer: coarse)").matches;

  const resolve = (value, style) => {
    if (typeof value === "string") {
      const name = /^var\((--[a-z0-9-]+)\)$/.exec(value);
      return name ? style.getPropertyValue(name[1]).trim() : value;
    }
    if (Array.isArray(value)) return value.map((item) => resolve(item, style));
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, resolve(item, style)]));
  };

  const axis = (given) => ({
    gridcolor: "var(--line)", linecolor: "var(--line)", zeroline: false, automargin: true, ...given,
    title: { standoff: 12, ...given.title },
  });

  const draw = () => {
    const style = getComputedStyle(document.documentElement);
    const hidden = new Set(
      [...document.querySelectorAll('.key button[aria-pressed="false"]')].map((button) => button.dataset.name));
    for (const [name, figure] of Object.entries(figures)) {
      const traces = figure.data.map(
        (trace) => ({ ...trace, visible: name !== "curves" || !hidden.has(trace.meta) }));
      const layout = {
        paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", showlegend: false, hovermode: "closest",
        dragmode: touch ? false : "zoom", margin: { l: 8, r: 16, t: 16, b: 8 },
        font: { family: style.fontFamily, size: 13, color: "var(--muted)" },
        hoverlabel: { bgcolor: "var(--page)", bordercolor: "var(--muted)", font: { color: "var(--ink)" }, align: "left" },
      };
      if (name.startsWith("own-")) Object.assign(layout, { showlegend: true, ...figure.layout }, {
        template: undefined, title: undefined, width: undefined, height: undefined,
        paper_bgcolor: layout.paper_bgcolor, plot_bgcolor: layout.plot_bgcolor, font: layout.font,
      });
      // Where there is no room beside a wing's chart, its legend goes below, and the chart grows by it.
      const chart = document.getElementById(`chart-${name}`);
      const shown = layout.showlegend ? traces.filter((trace) => trace.name && trace.showlegend !== false) : [];
      const below = shown.length > 1 && chart.clientWidth < 600;
      chart.style.height = below ? `${340 + 22 * shown.length}px` : "";
      if (below) {
        layout.legend = { ...layout.legend, orientation: "h", yref: "container", y: 0, yanchor: "bottom" };
        layout.margin = { ...layout.margin, b: 24 + 22 * shown.length };
      }
      for (const key of new Set(["xaxis", "yaxis", ...Object.keys(figure.layout)])) {
        if (/^[xy]axis\d*$/.test(key)) layout[key] = axis(figure.layout[key] ?? {});
      }
      const config = { responsive: true, displayModeBar: false };
      Plotly.react(`chart-${name}`, resolve(traces, style), resolve(layout, style), config);
    }
  };

  for (const button of document.querySelectorAll(".key button")) {
    button.addEventListener("click", () => {
      button.setAttribute("aria-pressed", button.getAttribute("aria-pressed") === "true" ? "false" : "true");
      draw();
    });
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  draw();
}
