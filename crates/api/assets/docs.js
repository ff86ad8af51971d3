// The page of the API: what /openapi.json describes, each part with a form that tries it.

const made = (tag, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
};

// What is shown of an answer: enough to see what it is, little enough to lay out at once.
const SHOWN_CHARACTERS_MAX = 20000;

const resolve = (description, node) =>
  node.$ref ? node.$ref.slice(2).split("/").reduce((at, key) => at[key], description) : node;

function field(parameter) {
  const { schema } = parameter;
  const id = `field-${Math.random().toString(36).slice(2)}`;
  let input;
  if (schema.enum) {
    input = made("select", { id, name: parameter.name });
    if (!parameter.required) input.append(made("option", { value: "", textContent: "" }));
    for (const choice of schema.enum) input.append(made("option", { value: String(choice), textContent: String(choice) }));
  } else {
    input = made("input", { id, name: parameter.name, autocomplete: "off", spellcheck: false });
    if (schema.default !== undefined) input.placeholder = String(schema.default);
  }
  input.required = parameter.required;
  const facts = [schema.format ?? schema.type];
  if (schema.minimum !== undefined) facts.push(`from ${schema.minimum}`);
  if (schema.maximum !== undefined) facts.push(`to ${schema.maximum}`);
  if (schema.default !== undefined) facts.push(`default ${schema.default}`);
  if (parameter.required) facts.push("required");
  const words = [parameter.description, `(${facts.join(", ")})`].filter(Boolean).join(" ");
  return made("div", { className: "field" },
    made("label", { htmlFor: id, textContent: parameter.name }), input, made("span", { className: "quiet", textContent: words }));
}

function operation(description, path, get) {
  const fields = made("div");
  const answer = made("pre", { hidden: true, tabIndex: 0 });
  const address = made("pre", { className: "path" });
  const form = made("form");
  const live = get.responses["200"]?.content?.["text/event-stream"];
  let events;

  const asked = () => {
    const given = new URLSearchParams();
    for (const [name, text] of new FormData(form)) if (text !== "") given.append(name, text);
    const query = given.toString();
    return query ? `${path}?${query}` : path;
  };
  const show = () => { address.textContent = `curl '${location.origin}${asked()}'`; };
  const stop = () => { events?.close(); events = undefined; };
  const print = (text, trouble) => {
    answer.hidden = false;
    answer.className = trouble ? "trouble" : "";
    answer.textContent = text.length > SHOWN_CHARACTERS_MAX ? `${text.slice(0, SHOWN_CHARACTERS_MAX)}\n…` : text;
  };
  const pretty = (text) => { try { return JSON.stringify(JSON.parse(text), null, 1); } catch { return text; } };

  const actions = made("div", { className: "actions" }, made("button", { type: "submit", textContent: "Ask" }));
  if (live) {
    actions.append(made("button", {
      type: "button", className: "second", textContent: "Follow",
      onclick: () => {
        stop();
        events = new EventSource(asked());
        events.onmessage = (event) => print(`at ${event.lastEventId}\n${pretty(event.data)}`, false);
        events.addEventListener("problem", (event) => print(pretty(event.data), true));
        events.onerror = () => print("The stream ended; it is tried again.", true);
      },
    }));
  }
  form.append(fields, address, actions, answer);
  form.oninput = show;
  form.onsubmit = async (event) => {
    event.preventDefault();
    stop();
    const began = performance.now();
    try {
      const response = await fetch(asked());
      const text = await response.text();
      const facts = [`${response.status} in ${(performance.now() - began).toFixed(1)} ms`];
      const position = response.headers.get("millstream-position");
      if (position) facts.push(`at ${position}`);
      print(`${facts.join(", ")}\n${pretty(text)}`, !response.ok);
    } catch (error) {
      print(`The server did not answer: ${error.message}`, true);
    }
  };
  const details = made("details", { id: get.operationId },
    made("summary", {}, made("span", { className: "path", textContent: path }), made("span", { textContent: get.summary ?? "" })), form);
  details.ontoggle = () => {
    if (details.open && !fields.hasChildNodes()) {
      if (get.description) fields.append(made("p", { className: "quiet", textContent: get.description }));
      for (const parameter of get.parameters ?? []) fields.append(field(resolve(description, parameter)));
      show();
    }
    if (!details.open) stop();
  };
  return details;
}

async function draw() {
  const operations = document.getElementById("operations");
  try {
    const response = await fetch("/openapi.json");
    const description = await response.json();
    if (!response.ok) throw new Error(description.detail);
    document.title = `${description.info.title}: API`;
    document.getElementById("title").textContent = description.info.title;
    document.getElementById("about").textContent = description.info.description;
    const sections = description.tags.map((tag) => {
      const paths = Object.entries(description.paths).filter(([, { get }]) => get.tags.includes(tag.name));
      if (paths.length === 0) {
        return made("section", {}, made("h2", { textContent: tag.name }),
          made("p", { className: "quiet", textContent: `${tag.description} There is none yet: put a SELECT into api/NAME.sql.` }));
      }
      return made("section", {}, made("h2", { textContent: tag.name }), made("p", { className: "quiet", textContent: tag.description }),
        ...paths.map(([path, { get }]) => operation(description, path, get)));
    });
    operations.replaceChildren(...sections);
    const chosen = document.getElementById(location.hash.slice(1));
    if (chosen instanceof HTMLDetailsElement) chosen.open = true;
  } catch (error) {
    operations.replaceChildren(made("p", { className: "trouble", textContent: `The description can't be read: ${error.message}` }));
  }
}

draw();
