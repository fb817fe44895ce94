// Charts that can be asked for values: uPlot draws what the table below each figure holds.
"use strict";

function column(rows, index) {
  return rows.map((row) => {
    const value = row.cells[index + 1].dataset.value;
    return value === undefined ? null : Number(value);
  });
}

function tip(names, shown) {
  const box = document.createElement("div");
  box.className = "u-tip";
  box.hidden = true;
  return {
    hooks: {
      init: (chart) => chart.over.append(box),
      setCursor: (chart) => {
        const { idx, left, top } = chart.cursor;
        box.hidden = idx === null || idx === undefined || left < 0;
        if (box.hidden) return;
        const lines = names.map((name, index) => `${name} ${shown[index][idx]}`);
        box.innerText = [shown.at(-1)[idx], ...lines].join("\n");
        const flip = left > chart.over.clientWidth / 2;
        box.style.left = flip ? "auto" : `${left + 12}px`;
        box.style.right = flip ? `${chart.over.clientWidth - left + 12}px` : "auto";
        box.style.top = `${Math.max(0, top - 60)}px`;
      },
    },
  };
}

const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

function draw(figure) {
  const plot = figure.querySelector(".plot");
  const heads = [...figure.querySelectorAll("thead th")].slice(1).map((cell) => cell.textContent);
  const rows = [...figure.querySelectorAll("tbody tr")];
  if (rows.length < 2) return;
  const at = rows.map((row) => Number(row.dataset.at));
  const shown = heads.map((_, index) => rows.map((row) => row.cells[index + 1].textContent));
  shown.push(rows.map((row) => row.cells[0].textContent));
  const style = (name, element = figure) => getComputedStyle(element).getPropertyValue(name);
  // A property that holds light-dark() is resolved where it is a colour.
  const resolved = (name) => {
    const probe = document.createElement("i");
    probe.style.color = `var(${name})`;
    figure.append(probe);
    const colour = getComputedStyle(probe).color;
    probe.remove();
    return colour;
  };
  const lines = [...figure.querySelectorAll(".line")].map((line) => getComputedStyle(line).stroke);
  const ink = resolved("--ink-soft");
  const grid = { stroke: resolved("--line"), width: 1 };
  const font = `12px ${style("font-family")}`;
  const span = at.at(-1) - at[0];
  const fromZero = figure.dataset.chart === "zero";
  const clock = (values) => values.map((value) => {
    const iso = new Date(value * 1000).toISOString();
    if (span > 3 * 86400) return iso.slice(5, 10);
    return iso.slice(11, span < 900 ? 19 : 16);
  });
  plot.classList.add("drawn");
  figure.querySelector(".scale").hidden = true;
  const chart = new uPlot({
    width: plot.clientWidth,
    height: plot.clientHeight,
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false } },
    // Room for the half of the last moment that stands over the edge.
    padding: [8, 26, 0, 0],
    scales: { x: { time: true }, y: fromZero ? { range: (_, low, high) => [0, high > 0 ? high * 1.1 : 1] } : {} },
    axes: [
      { stroke: ink, font, grid: { show: false }, ticks: { show: false }, size: 26, values: (_, values) => clock(values) },
      { stroke: ink, font, grid, ticks: { show: false }, size: 44, values: (_, values) => values.map((value) => short.format(value)) },
    ],
    series: [{}, ...heads.map((label, index) => ({
      label,
      stroke: lines[index],
      width: 1.75,
      dash: index ? [5, 3] : [],
      fill: index || !fromZero ? undefined : lines[index].replace("rgb(", "rgba(").replace(")", ", 0.1)"),
      points: { show: rows.length < 20, size: 5 },
    }))],
    plugins: [tip(heads, shown)],
  }, [at, ...heads.map((_, index) => column(rows, index))], plot);
  new ResizeObserver(() => {
    if (plot.isConnected) chart.setSize({ width: plot.clientWidth, height: plot.clientHeight });
  }).observe(plot);
}

function drawAll(root) {
  for (const figure of root.querySelectorAll("[data-chart]")) {
    figure.querySelector(".uplot")?.remove();
    draw(figure);
  }
}

drawAll(document);
document.addEventListener("enhance", (event) => drawAll(event.target));
document.addEventListener("themechange", () => drawAll(document));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawAll(document));
