"use strict";
// The page works without this but for the plots, the sorting and the refreshing. It asks nothing of any network.
(() => {
  const NARROW = 520; // pixels; below, labels inside plots would lie on each other
  const PRINTED = { wide: 680, panel: 325 }; // pixels of a printed page's text, and of half of it
  const night = matchMedia("(prefers-color-scheme: dark)");
  const darkColors = JSON.parse(document.getElementById("dark-colors").textContent);
  const plots = [...document.querySelectorAll(".plot")];
  const CONFIG = { displayModeBar: false, responsive: false, scrollZoom: false, doubleClick: false, showTips: false };
  let printing = false;

  // Plotly sets style attributes by name, which the content security policy forbids; by this way it is allowed, and the
  // policy need not be loosened. Nothing of the page's texts comes near it.
  const setAttribute = Element.prototype.setAttribute;
  Element.prototype.setAttribute = function (name, value) {
    if (name === "style") this.style.cssText = value;
    else setAttribute.call(this, name, value);
  };

  // --- plots -------------------------------------------------------------------------------------------------------

  /** Return a figure with the colours of a dark page: texts that are colours, and nothing else. */
  function darkened(value) {
    if (typeof value === "string") return Object.hasOwn(darkColors, value) ? darkColors[value] : value;
    if (Array.isArray(value)) return value.every((item) => typeof item === "number") ? value : value.map(darkened);
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, darkened(item)]));
  }

  /** Return the height that the page's style gives a plot; a narrow one has room for its legend below. */
  function heightOf(plot, { data, layout }) {
    plot.style.height = "";
    const height = plot.clientHeight || layout.height;
    const entries = plot.closest(".panel") || layout.showlegend === false ? 0
      : data.filter((trace) => trace.showlegend !== false && trace.name).length;
    if (plot.clientWidth >= NARROW || entries < 2) return height;
    plot.style.height = `${height + 16 * entries}px`;
    return height + 16 * entries;
  }

  /** Leave out what would lie on each other in a narrow plot. */
  function narrow({ data, layout: { template } }, layout) {
    layout.annotations = (layout.annotations ?? []).filter((each) => each.name !== "wide");
    layout.legend = { ...template.layout.legend, ...layout.legend, y: -0.28 };
    layout.xaxis = { ...layout.xaxis, tickangle: 0 };
    for (const trace of data.filter((each) => each.texttemplate)) {
      const letters = Math.max(...trace.text.flat().map((text) => String(text).replace(/<.*?>/g, "").length));
      if ((layout.width - 100) / trace.z[0].length < 6.5 * letters) delete trace.texttemplate;
    }
  }

  function draw(plot) {
    const width = printing ? PRINTED[plot.closest(".panel") ? "panel" : "wide"] : plot.clientWidth;
    if (!width) return;
    const dark = night.matches && !printing;
    const state = `${width} ${dark}`;
    if (plot.dataset.drawn === state) return;
    plot.dataset.drawn = state;
    let figure = JSON.parse(document.getElementById(`${plot.id}-data`).textContent);
    if (dark) figure = darkened(figure);
    const layout = { ...figure.layout, width, height: heightOf(plot, figure), autosize: false };
    if (width < NARROW) narrow(figure, layout);
    Plotly.react(plot, figure.data, layout, CONFIG);
  }

  const near = new IntersectionObserver(
    (entries) => entries.filter((entry) => entry.isIntersecting).forEach((entry) => draw(entry.target)),
    { rootMargin: "600px" },
  );
  const resized = new ResizeObserver((entries) => {
    for (const { target } of entries) if (target.dataset.drawn && !printing) requestAnimationFrame(() => draw(target));
  });
  plots.forEach((plot) => { near.observe(plot); resized.observe(plot); });

  // What is far down is drawn when there is time, so that nobody waits for it.
  const later = window.requestIdleCallback ?? ((task) => setTimeout(task, 50));
  const waiting = [...plots];
  function drawNext() {
    let plot = waiting.shift();
    while (plot && (plot.dataset.drawn || !plot.clientWidth)) plot = waiting.shift();
    if (!plot) return;
    draw(plot);
    later(drawNext);
  }
  later(drawNext);

  const redraw = () => plots.filter((plot) => plot.dataset.drawn).forEach(draw);
  night.addEventListener("change", redraw);

  let closed = [];
  addEventListener("beforeprint", () => {
    printing = true;
    closed = [...document.querySelectorAll("details:not([open])")];
    closed.forEach((details) => { details.open = true; });
    plots.filter((plot) => !plot.closest("[hidden]")).forEach(draw);
  });
  addEventListener("afterprint", () => {
    printing = false;
    closed.forEach((details) => { details.open = false; });
    redraw();
  });

  document.querySelectorAll("[data-save]").forEach((button) => button.addEventListener("click", () => {
    const plot = document.getElementById(button.dataset.save);
    Plotly.downloadImage(plot, { format: "svg", filename: plot.id, width: plot.clientWidth, height: plot.clientHeight });
  }));

  document.querySelectorAll("input[name=metric]").forEach((input) => input.addEventListener("change", () => {
    document.querySelectorAll("[data-metric]").forEach((panels) => {
      panels.hidden = panels.dataset.metric !== input.value;
      if (!panels.hidden) panels.querySelectorAll(".plot").forEach((plot) => near.unobserve(plot) ?? near.observe(plot));
    });
  }));

  // --- tables ------------------------------------------------------------------------------------------------------

  /** Return what a cell is sorted by; what is empty goes last in either direction. */
  function key(row, column) {
    const text = row.cells[column].dataset.sort;
    const number = Number(text);
    return text === "" ? null : Number.isNaN(number) ? text : number;
  }

  function compared(a, b) {
    if (typeof a === "number" && typeof b === "number") return a - b;
    return String(a).localeCompare(String(b), undefined, { numeric: true });
  }

  document.querySelectorAll("table.sortable").forEach((table) => {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
      const first = head.classList.contains("number") ? "descending" : "ascending";
      const other = first === "ascending" ? "descending" : "ascending";
      const direction = head.getAttribute("aria-sort") === first ? other : first;
      heads.forEach((each) => each.setAttribute("aria-sort", each === head ? direction : "none"));
      const sign = direction === "ascending" ? 1 : -1;
      const rows = [...table.tBodies[0].rows].map((row) => [key(row, column), row]);
      rows.sort(([a], [b]) => (a === null) - (b === null) || (a === null ? 0 : sign * compared(a, b)));
      table.tBodies[0].append(...rows.map(([, row]) => row));
    }));
  });

  // --- where the reader is -----------------------------------------------------------------------------------------

  const links = new Map([...document.querySelectorAll(".contents a")].map((link) => [link.hash.slice(1), link]));
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) {
      links.forEach((link, id) => (id === entry.target.id
        ? link.setAttribute("aria-current", "true") : link.removeAttribute("aria-current")));
    }
  }, { rootMargin: "-15% 0px -75% 0px" });
  links.forEach((_, id) => { const part = document.getElementById(id); if (part) seen.observe(part); });

  // --- a study that goes on ----------------------------------------------------------------------------------------

  const PLACE = `reglab ${location.pathname}`;
  const refresh = document.querySelector("meta[name=reglab-refresh]");
  const kept = sessionStorage.getItem(PLACE);
  if (kept) {
    sessionStorage.removeItem(PLACE);
    const { y, open, metric } = JSON.parse(kept);
    document.querySelectorAll("details").forEach((details, i) => { details.open = open.includes(i); });
    const input = [...document.querySelectorAll("input[name=metric]")].find((each) => each.value === metric);
    if (input) { input.checked = true; input.dispatchEvent(new Event("change")); }
    scrollTo({ top: y, behavior: "instant" });
  }
  if (refresh) {
    const pause = document.getElementById("pause");
    let paused = false;
    pause?.addEventListener("click", () => {
      paused = !paused;
      pause.setAttribute("aria-pressed", String(paused));
      pause.textContent = paused ? "Go on refreshing" : "Pause refreshing";
    });
    setInterval(() => {
      if (paused || document.hidden || String(getSelection())) return;
      const details = [...document.querySelectorAll("details")];
      sessionStorage.setItem(PLACE, JSON.stringify({
        y: scrollY,
        open: details.flatMap((each, i) => (each.open ? [i] : [])),
        metric: document.querySelector("input[name=metric]:checked")?.value,
      }));
      location.reload();
    }, 1000 * Number(refresh.content));
  }
})();
