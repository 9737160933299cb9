// Draw the charts in the colours of the page, and sort a table by the column whose head is pressed.

const dark = window.matchMedia("(prefers-color-scheme: dark)");
const charts = JSON.parse(document.getElementById("charts").textContent);

function draw() {
  const ink = dark.matches ? "#dddddd" : "#222222";
  const line = dark.matches ? "#444444" : "#dddddd";
  const config = {
    background: null,
    axis: { labelColor: ink, titleColor: ink, gridColor: line, domainColor: line, tickColor: line },
    legend: { labelColor: ink, titleColor: ink, orient: "bottom" },
    view: { stroke: null },
  };
  charts.forEach((chart, number) => {
    const place = document.getElementById(`chart-${number}`);
    const width = Math.min(560, place.parentElement.clientWidth - 140);
    const spec = typeof chart.width === "number" ? { ...chart, width: Math.max(180, width) } : chart;
    delete spec.config;
    vegaEmbed(place, spec, { actions: false, renderer: "svg", config });
  });
}

function value(row, index) {
  const text = row.cells[index].textContent.trim();
  const number = Number(text.replaceAll(",", ""));
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

draw();
dark.addEventListener("change", draw);
