// @ts-check
/** The setup that the page edits, and the address that has it. */

/** @typedef {any} Setup the JSON of manynets.playground.setup.PlaygroundSetup */

/** @param {any} a @param {any} b */
const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

/**
 * Return the parts of a setup that differ from the defaults.
 * @param {any} value @param {any} base
 */
function difference(value, base) {
  if (value === null || typeof value !== "object" || Array.isArray(value) || !base || value.kind !== base.kind) return value;
  /** @type {Record<string, any>} */ const out = value.kind ? { kind: value.kind } : {};
  for (const [name, item] of Object.entries(value)) if (!same(item, base[name])) out[name] = difference(item, base[name]);
  return out;
}

/** @param {any} given @param {any} base */
function merged(given, base) {
  if (given === null || typeof given !== "object" || Array.isArray(given) || !base || typeof base !== "object") return given;
  if (given.kind && base.kind && given.kind !== base.kind) return given;
  const out = { ...base };
  for (const [name, item] of Object.entries(given)) out[name] = merged(item, base[name]);
  return out;
}

export class Store {
  /** @param {Setup} defaults @param {() => void} changed */
  constructor(defaults, changed) {
    this.defaults = defaults;
    this.changed = changed;
    /** @type {Setup} */ this.setup = structuredClone(defaults);
  }

  /** Read the setup in the address, where there is one. */
  fromAddress() {
    const text = location.hash.slice(1);
    if (!text) return false;
    try {
      const bytes = Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (sign) => sign.charCodeAt(0));
      this.setup = merged(JSON.parse(new TextDecoder().decode(bytes)), this.defaults);
      return true;
    } catch {
      return false;
    }
  }

  /** Return the address of this setup. */
  address() {
    const text = JSON.stringify(difference(this.setup, this.defaults));
    const signs = Array.from(new TextEncoder().encode(text), (byte) => String.fromCharCode(byte)).join("");
    return `${location.origin}/#${btoa(signs).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "")}`;
  }

  /** @param {(setup: Setup) => void} change */
  update(change) {
    change(this.setup);
    this.changed();
  }

  /** Begin with these parts of a setup and the defaults for the rest. @param {any} parts */
  begin(parts) {
    this.setup = merged(structuredClone(parts), structuredClone(this.defaults));
    this.changed();
  }
}
