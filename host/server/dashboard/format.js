// How things are written for people.

import { h } from "./dom.js";

const BOTH = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const CLOCK = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const NUMBER = new Intl.NumberFormat();

/**
 * A moment, in the reader's own time; today's without its date.
 * @param {string | null | undefined} text
 */
export function moment(text) {
  if (!text) return null;
  const date = new Date(text);
  const isToday = date.toDateString() === new Date().toDateString();
  return h("time", { datetime: text, title: text }, (isToday ? CLOCK : BOTH).format(date));
}

/**
 * @param {number | null | undefined} seconds
 * @returns {string}
 */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "";
  if (seconds < 0.9995) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 2 : 1)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.floor(seconds % 60)} s`;
  if (minutes < 48 * 60) return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  return `${Math.floor(minutes / 1440)} days`;
}

/** @param {number} bytes */
export function size(bytes) {
  if (bytes < 1024) return `${bytes} B`;
  const power = Math.min(Math.floor(Math.log2(bytes) / 10), 4);
  const amount = bytes / 1024 ** power;
  return `${amount.toFixed(amount < 10 ? 1 : 0)} ${["", "KiB", "MiB", "GiB", "TiB"][power]}`;
}

/** @param {number} value */
export const number = (value) => NUMBER.format(value);

/**
 * A state, as a coloured word.
 * @param {string} state
 */
export const badge = (state) => h("span", { class: `badge ${state.toLowerCase()}` }, state);

/**
 * Seconds between two moments.
 * @param {string | null} from
 * @param {string | null} to
 */
export const between = (from, to) =>
  from ? Math.max(0, (to ? Date.parse(to) : Date.now()) - Date.parse(from)) / 1000 : null;
