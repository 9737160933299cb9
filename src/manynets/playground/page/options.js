// @ts-check
/** Forms of the table of options: every field of a specification, from its metadata. */
import { el } from "/dom.js";

/** @typedef {{kinds: Record<string, any[]>, nested: Record<string, Record<string, string>>}} Table */

/** @param {string} name */
export const label = (name) => { const text = name.replaceAll("_", " "); return text === "lr" ? "Learning rate" : text[0].toUpperCase() + text.slice(1); };

let count = 0;

/**
 * Return the input of a field.
 * @param {Table} table @param {any} field @param {any} owner the specification as JSON
 * @param {(name: string, value: any) => void} set
 */
export function input(table, field, owner, set) {
  const value = owner[field.name] === undefined ? field.default : owner[field.name];
  const id = `option-${++count}`;
  const given = { id, "data-field": field.name, title: field.help };
  if (field.type === "flag") return [id, el("input", { ...given, type: "checkbox", checked: Boolean(value), onchange: (/** @type {any} */ e) => set(field.name, e.target.checked) })];
  if (field.type === "choice") {
    const options = field.choices.map((/** @type {string} */ name) => el("option", { value: name }, name.replaceAll("_", " ")));
    if (field.optional) options.unshift(el("option", { value: "" }, `default`));
    const select = el("select", { ...given, onchange: (/** @type {any} */ e) => set(field.name, e.target.value || null) }, ...options);
    select.value = value ?? "";
    return [id, select];
  }
  if (field.type === "nested") {
    const names = Object.entries(table.nested[field.name]);
    const options = names.map(([text, kind]) => el("option", { value: kind }, text));
    if (field.optional) options.unshift(el("option", { value: "" }, "none"));
    const select = el("select", { ...given, onchange: (/** @type {any} */ e) => set(field.name, e.target.value ? { kind: e.target.value } : null) }, ...options);
    select.value = value?.kind ?? (typeof value === "string" ? value : "");
    return [id, select];
  }
  if (field.type === "numbers") {
    const text = Array.isArray(value) ? value.join(", ") : String(value ?? "");
    const read = (/** @type {any} */ e) => {
      const parts = e.target.value.split(/[,\s]+/).filter(Boolean).map(Number);
      set(field.name, parts.length === 1 && !Array.isArray(field.default) ? parts[0] : parts);
    };
    return [id, el("input", { ...given, type: "text", inputmode: "decimal", value: text, onchange: read })];
  }
  if (field.type === "text") return [id, el("input", { ...given, type: "text", value: String(value ?? ""), onchange: (/** @type {any} */ e) => set(field.name, e.target.value) })];
  const number = el("input", {
    ...given, type: "number", step: field.type === "whole" ? "1" : "any", min: field.low, max: field.high, value: value ?? "",
    placeholder: field.optional ? field.none || "none" : "",
    onchange: (/** @type {any} */ e) => { if (e.target.value !== "" && e.target.validity.valid) set(field.name, Number(e.target.value)); else if (field.optional) set(field.name, null); },
  });
  return [id, number];
}

/**
 * Return the inputs of all fields of a specification, those of its parts beside them.
 * @param {Table} table @param {any} owner @param {(change: (owner: any) => void) => void} change
 */
export function form(table, owner, change) {
  const out = [];
  for (const field of table.kinds[owner.kind]) {
    const set = (/** @type {string} */ name, /** @type {any} */ value) => change((found) => { found[name] = value; });
    const [id, made] = input(table, field, owner, set);
    out.push(el("label", { for: id, class: field.type === "flag" ? "flag" : "", title: field.help }, ...(field.type === "flag" ? [made, label(field.name)] : [label(field.name), made])));
    const part = owner[field.name];
    if (field.type === "nested" && part && table.kinds[part.kind]?.length) {
      const inner = form(table, part, (inside) => change((found) => inside(found[field.name])));
      out.push(el("div", { class: "part" }, ...inner));
    }
  }
  return out;
}
