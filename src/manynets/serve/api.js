// The page at /docs: it shows the OpenAPI document of the server, and sends requests.

function tableOf(caption, rows) {
  const lines = rows.map(([name, ...cells]) => element("tr", {}, element("th", { scope: "row" }, name), ...cells.map((cell) => element("td", {}, cell))));
  return element("table", {}, element("caption", {}, caption), ...lines);
}

const typeOf = (schema = {}) => [schema.type || []].flat().join(", ");
const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

function command(path, body) {
  const parts = ["curl -s", quoted(location.origin + path)];
  if (token) parts.push('-H "Authorization: Bearer $MANYNETS_TOKEN"');
  if (body !== undefined) parts.push("-H 'content-type: application/json'", "-d", quoted(body));
  return element("pre", {}, parts.join(" "));
}

async function attempt(path, body, output) {
  try {
    const answer = await send(path, body);
    const text = await answer.text();
    const isJson = (answer.headers.get("content-type") || "").startsWith("application/json");
    output.replaceChildren(element("strong", {}, String(answer.status)), element("pre", {}, isJson ? JSON.stringify(JSON.parse(text), null, 1) : text));
  } catch (error) {
    output.replaceChildren(element("p", { className: "error" }, error.message));
  }
}

function operation(path, method, about, index) {
  const parts = [element("h2", {}, element("code", {}, `${method.toUpperCase()} ${path}`)), element("p", {}, about.summary || "")];
  const json = about.requestBody?.content["application/json"];
  const records = json?.schema.oneOf?.[0].properties.records.items;
  const body = json && JSON.stringify(json.example);
  const form = element("form");
  let text;
  if (about.parameters) parts.push(tableOf("Query", about.parameters.map((one) => [one.name, typeOf(one.schema), one.description || ""])));
  if (records) parts.push(tableOf("Columns of a record", Object.entries(records.properties).map(([name, one]) => [name, typeOf(one), one.description || ""])));
  if (json) {
    text = element("textarea", { id: `body-${index}`, value: JSON.stringify(json.example, null, 1), rows: 8, spellcheck: false });
    form.append(element("label", { htmlFor: text.id }, `Body: ${Object.keys(about.requestBody.content).join(" or ")}`), text);
  }
  parts.push(command(path, body));
  const answers = Object.entries(about.responses).map(([code, one]) => [code, one.description === "Successful Response" ? "" : one.description]);
  if (json) parts.push(tableOf("Answers", answers));
  const output = element("div", {});
  output.setAttribute("aria-live", "polite");
  form.append(element("button", {}, "Send"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    attempt(path, text?.value, output);
  });
  return element("section", {}, ...parts, form, output);
}

async function start() {
  const { paths } = await ask("/openapi.json");
  const all = Object.entries(paths).flatMap(([path, methods]) => Object.entries(methods).map(([method, about]) => [path, method, about]));
  all.sort((one, other) => (other[1] === "post") - (one[1] === "post"));
  byId("operations").replaceChildren(...all.map(([path, method, about], index) => operation(path, method, about, index)));
}

function show(error) {
  byId("error").textContent = error.message;
}

begin(start, show);
