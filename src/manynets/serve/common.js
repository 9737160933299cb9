// What the pages share: requests with the token of the server, and elements.

const byId = (id) => document.getElementById(id);
let token = "";

function send(path, body) {
  const headers = body === undefined ? {} : { "content-type": "application/json" };
  if (token) headers.authorization = `Bearer ${token}`;
  return fetch(path, body === undefined ? { headers } : { method: "POST", headers, body });
}

async function ask(path, body) {
  const answer = await send(path, body === undefined ? undefined : JSON.stringify(body));
  const found = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(found.error.message), { status: answer.status, where: found.error });
  return found;
}

function element(name, properties = {}, ...children) {
  const node = Object.assign(document.createElement(name), properties);
  node.append(...children);
  return node;
}

async function startOrAsk(start, show) {
  try {
    await start();
    byId("access").hidden = true;
  } catch (error) {
    if (error.status === 401) byId("access").hidden = false;
    else show(error);
  }
}

function begin(start, show) {
  byId("access").addEventListener("submit", (event) => {
    event.preventDefault();
    token = byId("token").value;
    startOrAsk(start, show);
  });
  startOrAsk(start, show);
}
