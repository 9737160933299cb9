// Draw the charts in the colours of the page and as wide as there is room, and sort a table by the column whose head is pressed.

const dark = window.matchMedia("(prefers-color-scheme: dark)");
const charts = JSON.parse(document.getElementById("charts").textContent);
const LARGEST = 760;

function draw(night = dark.matches) {
  const ink = night ? "#dddddd" : "#222222";
  const line = night ? "#444444" : "#dddddd";
  const config = {
    background: null,
    padding: { left: 5, top: 5, right: 14, bottom: 5 },  // so that the last label of an axis has room
    axis: { labelColor: ink, titleColor: ink, gridColor: line, domainColor: line, tickColor: line, labelFontSize: 12, titleFontSize: 12,
            labelFlush: false, labelSeparation: 8 },
    legend: { labelColor: ink, titleColor: ink, orient: "bottom", labelFontSize: 12, titleFontSize: 12 },
    view: { stroke: null },
  };
  return Promise.all(charts.map((chart, number) => {
    const place = document.getElementById(`chart-${number}`);
    const room = Math.min(LARGEST, place.parentElement.clientWidth);
    const fits = typeof chart.width === "number" && !chart.usermeta?.fixed;
    const spec = fits ? { ...chart, width: room, autosize: { type: "fit-x", contains: "padding" } } : { ...chart };
    delete spec.config;
    return vegaEmbed(place, spec, { actions: false, renderer: "svg", config })
      .then(({ view }) => view.resize().runAsync()); // again, as labels need other room than was thought
  }));
}

function value(row, index) {
  const text = row.cells[index].textContent.trim();
  const number = Number(text.replaceAll(",", "").replace(/%$/, ""));
  return text === "" || Number.isNaN(number) ? text : number;
}

for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const head = button.parentElement;
    const body = head.closest("table").tBodies[0];
    const down = head.getAttribute("aria-sort") === "ascending";
    for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const rows = [...body.rows];
    rows.sort((a, b) => {
      const [x, y] = [value(a, head.cellIndex), value(b, head.cellIndex)];
      const order = typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y));
      return down ? -order : order;
    });
    body.append(...rows);
  });
}

let width = window.innerWidth;
let drawing = null;
window.addEventListener("resize", () => {
  if (window.innerWidth === width) return; // a phone that hides its address bar
  width = window.innerWidth;
  clearTimeout(drawing);
  drawing = setTimeout(draw, 200);
});
window.addEventListener("beforeprint", () => {
  for (const folded of document.querySelectorAll("details")) folded.open = true;
  draw(false);
});
window.addEventListener("afterprint", () => draw());
draw();
dark.addEventListener("change", () => draw());
