// Renders openapi.json: every operation with its parameters, body, responses and a curl example.

import { get } from "./api.js";
import { byId, el } from "./dom.js";

let schemas = {};

const resolve = (schema) => (schema?.$ref ? schemas[schema.$ref.split("/").pop()] : schema) ?? {};

function typeOf(schema) {
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  if ("const" in schema) return JSON.stringify(schema.const);
  if (schema.anyOf) return [...new Set(schema.anyOf.map(typeOf))].join(" | ");
  if (schema.type === "array") return `list of ${typeOf(schema.items ?? {})}`;
  if (schema.contentMediaType || schema.format === "binary") return "file";
  if (schema.additionalProperties && typeof schema.additionalProperties === "object") return `mapping to ${typeOf(schema.additionalProperties)}`;
  return schema.type ?? "anything";
}

const BOUNDS = { minimum: "minimum", maximum: "maximum", minLength: "at least", maxLength: "at most", minItems: "at least", maxItems: "at most" };
const UNITS = { minLength: " characters", maxLength: " characters", minItems: " items", maxItems: " items" };

function bounds(schema) {
  const own = schema.anyOf ? Object.assign({}, ...schema.anyOf) : schema;
  return Object.entries(BOUNDS)
    .filter(([key]) => key in own)
    .map(([key, word]) => `${word} ${own[key].toLocaleString("en")}${UNITS[key] ?? ""}`)
    .join(", ");
}

function table(rows) {
  const line = ([name, schema, required]) => {
    const fallback = "default" in schema ? `default ${JSON.stringify(schema.default)}` : "";
    const notes = [required ? "required" : fallback, bounds(schema), schema.description].filter(Boolean).join("; ");
    return el("tr", {}, el("td", {}, el("code", {}, name)), el("td", {}, typeOf(schema)), el("td", {}, notes));
  };
  const head = el("tr", {}, ...["Name", "Type", "Description"].map((name) => el("th", { scope: "col" }, name)));
  return el("div", { class: "scroll", tabindex: "0" }, el("table", {}, el("thead", {}, head), el("tbody", {}, ...rows.map(line))));
}

const fields = (schema) => Object.entries(schema.properties ?? {}).map(([name, field]) => [name, field, schema.required?.includes(name)]);

function body(operation) {
  const [kind, content] = Object.entries(operation.requestBody?.content ?? {})[0] ?? [];
  if (!kind) return { nodes: [], curl: "" };
  const schema = resolve(content.schema);
  const nodes = [el("h3", {}, `Request body (${kind})`), table(fields(schema))];
  for (const [name, nested] of nestedOf(schema)) nodes.push(el("h3", {}, name), table(fields(nested)));
  const needed = schema.required ?? [];
  if (kind === "application/json") {
    const example = Object.fromEntries(needed.map((name) => [name, "…"]));
    return { nodes, curl: ` -H 'Content-Type: application/json' -d '${JSON.stringify(needed.length ? example : { history: ["…"], k: 5 })}'` };
  }
  return { nodes, curl: ` ${needed.map((name) => `-F ${name}=…`).join(" ")} -F title=… -F image=@picture.jpg` };
}

// Nested schemas that the body refers to.
function nestedOf(schema) {
  const names = new Set(JSON.stringify(schema.properties ?? {}).match(/#\/components\/schemas\/\w+/g) ?? []);
  return [...names].map((ref) => [ref.split("/").pop(), resolve({ $ref: ref })]).filter(([, nested]) => nested.properties);
}

function operationOf(path, method, operation) {
  const parameters = (operation.parameters ?? []).map((parameter) => [
    parameter.name,
    { description: parameter.description, ...parameter.schema },
    parameter.required,
  ]);
  const { nodes, curl } = body(operation);
  const answers = Object.entries(operation.responses).map(([status, response]) =>
    el("tr", {}, el("td", {}, status), el("td", {}, answerType(response)), el("td", {}, response.description)),
  );
  const head = el("tr", {}, ...["Status", "Body", "Description"].map((name) => el("th", { scope: "col" }, name)));
  return el(
    "details",
    {},
    el("summary", {}, el("span", { class: "method" }, method.toUpperCase()), el("code", {}, path), el("span", { class: "what" }, operation.description ?? "")),
    ...(parameters.length ? [el("h3", {}, "Parameters"), table(parameters)] : []),
    ...nodes,
    el("h3", {}, "Responses"),
    el("div", { class: "scroll", tabindex: "0" }, el("table", {}, el("thead", {}, head), el("tbody", {}, ...answers))),
    el("h3", {}, "Try it"),
    el("pre", { tabindex: "0" }, `curl${method === "get" ? "" : ` -X ${method.toUpperCase()}`} '${window.location.origin}${path}'${curl}`),
  );
}

function answerType(response) {
  const [kind, content] = Object.entries(response.content ?? {})[0] ?? [];
  if (!kind) return "";
  return content.schema && Object.keys(content.schema).length ? typeOf(content.schema) : kind;
}

async function start() {
  const api = await get("/openapi.json");
  schemas = api.components?.schemas ?? {};
  byId("description").textContent = api.info.description;
  const groups = new Map();
  for (const [path, methods] of Object.entries(api.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      const tag = operation.tags?.at(-1) ?? "other";
      groups.set(tag, [...(groups.get(tag) ?? []), operationOf(path, method, operation)]);
    }
  }
  const nodes = [...groups].flatMap(([tag, operations]) => [el("h2", {}, tag), ...operations]);
  byId("operations").replaceChildren(...nodes);
}

start().catch((error) => byId("operations").replaceChildren(el("p", { class: "error", role: "alert" }, error.message)));
