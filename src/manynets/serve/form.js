// The form at /: it asks for the columns of a model and shows what it predicts.

let about = {};

function field(column, index) {
  const id = `column-${index}`;
  const input = element("input", { id, name: column.name, autocomplete: "off" });
  const notes = [];
  if (column.kind === "numeric") input.inputMode = "decimal";
  if (column.from !== undefined) notes.push(`in training ${short(column.from)} to ${short(column.to)}`);
  if (column.unit) notes.push(column.unit);
  if (column.kind === "date") notes.push(`such as ${column.example}`);
  if (column.levels && column.levels.length) {
    const list = `${id}-levels`;
    input.setAttribute("list", list);
    const options = element("datalist", { id: list });
    for (const level of column.levels) options.append(element("option", { value: level }));
    return element("div", {}, element("label", { htmlFor: id }, column.name), input, options);
  }
  return element("div", {}, element("label", { htmlFor: id }, column.name), input, element("small", {}, notes.join(", ")));
}

async function choose() {
  byId("predict").disabled = true;
  about = await ask(`/v1/models/${encodeURIComponent(byId("model").value)}`);
  byId("about").textContent = `${about.task}, version ${about.version}`;
  byId("columns").replaceChildren(...about.columns.map(field));
  byId("predict").disabled = false;
}

async function start() {
  const { models } = await ask("/v1/models");
  byId("model").replaceChildren(...models.map((model) => element("option", {}, model.name)));
  await choose();
}

function show(error) {
  const { column, row } = error.where || {};
  byId("answer").replaceChildren(element("p", { className: "error" }, column ? `${column}: ${error.message}` : error.message));
}

const percent = (part) => `${Math.round(100 * part)}%`;

function short(number) {
  const size = Math.abs(number);
  if (size !== 0 && (size < 1e-4 || size >= 1e15)) return Number(number.toPrecision(6)).toString();
  return number.toLocaleString("en-US", { maximumSignificantDigits: 6, useGrouping: size >= 10000 }); // below, it may be a year
}

function shown(value, outputs) {
  if (Array.isArray(value)) return value.map((one, index) => `${outputs[index]} ${shown(one)}`).join("; ");
  return typeof value === "number" ? short(value) : String(value);
}

function limits({ coverage, lower, upper }, outputs) {
  const several = Array.isArray(lower[0]) ? lower[0].map((low, index) => [low, upper[0][index]]) : [[lower[0], upper[0]]];
  const ranges = several.map(([low, high], index) => `${several.length > 1 ? `${outputs[index]} ` : ""}${short(low)} to ${short(high)}`).join("; ");
  return element("p", { id: "interval" }, `${percent(coverage)} interval: ${ranges}`);
}

function contributions({ columns, outputs, base, values }, index) {
  const parts = columns.map((name, j) => [name, Array.isArray(values[0][j]) ? values[0][j][index] : values[0][j]]);
  parts.sort((one, other) => Math.abs(other[1]) - Math.abs(one[1]));
  const most = Math.abs(parts[0][1]) || 1;
  const what = outputs.length > 1 ? `output ${outputs[index]}` : "the prediction";
  const table = element("table", { id: "contributions" }, element("caption", {}, `Contributions to ${what}, beginning at ${short([base].flat()[index])}`));
  for (const [name, value] of parts.slice(0, 20)) {
    const bar = element("span", { className: value < 0 ? "bar less" : "bar more" });
    bar.style.width = `${(6 * Math.abs(value)) / most}rem`;
    const cell = element("td", { className: "share" }, `${value < 0 ? "" : "+"}${short(value)}`);
    table.append(element("tr", {}, element("th", { scope: "row" }, name), cell, element("td", {}, bar)));
  }
  return table;
}

async function predict(event) {
  event.preventDefault();
  const record = {};
  for (const input of byId("columns").querySelectorAll("input")) record[input.name] = input.value.trim() === "" ? null : input.value;
  try {
    const found = await ask(`/v1/models/${encodeURIComponent(byId("model").value)}:predict?contributions=true${about.interval ? "&interval=0.9" : ""}`, { records: [record] });
    const parts = [element("p", {}, element("strong", {}, found.classes ? String(found.predictions[0]) : shown(found.predictions[0], found.contributions.outputs)))];
    if (found.probabilities) {
      const table = element("table", {}, element("caption", {}, "Probabilities"));
      found.probabilities[0].forEach((share, index) => {
        const name = found.classes ? String(found.classes[index]) : `label ${index}`;
        const bar = element("meter", { value: share, max: 1 });
        bar.setAttribute("aria-label", `probability of ${name}`);
        table.append(element("tr", {}, element("th", { scope: "row" }, name), element("td", { className: "share" }, share.toFixed(4)), element("td", {}, bar)));
      });
      parts.push(table);
    }
    if (found.interval) parts.push(limits(found.interval, found.contributions.outputs));
    const index = found.classes ? found.classes.indexOf(found.predictions[0]) : 0;
    parts.push(contributions(found.contributions, Math.max(0, index)));
    byId("answer").replaceChildren(...parts);
  } catch (error) {
    show(error);
  }
}

byId("model").addEventListener("change", () => choose().catch(show));
byId("row").addEventListener("submit", predict);
begin(start, show);
