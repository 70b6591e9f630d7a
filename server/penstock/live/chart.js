// Lines over the last minutes, and bars: SVG, drawn by attributes, since the page's
// policy allows no inline styles.

import { formatRate } from "./format.js";

const SVG = "http://www.w3.org/2000/svg";
export const SECONDS = 180;

export function svg(name, attributes = {}) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) {
    element.setAttribute(key, value);
  }
  return element;
}

// values: bytes per second, one a second, the newest last; the limit is a dashed line.
export function drawChart(chart, values, limit, height) {
  const peak = Math.max(1, ...values);
  const top = limit && limit < 2 * peak ? Math.max(limit, peak) : peak;
  const y = (value) => (1 + (height - 2) * (1 - value / top)).toFixed(1);
  const x = (index) => SECONDS - values.length + index;
  const points = values.map((value, index) => `${x(index)},${y(value)}`).join(" ");
  const parts = [svg("polyline", { points })];
  if (limit && limit <= top) {
    parts.push(svg("line", { x1: 0, x2: SECONDS, y1: y(limit), y2: y(limit) }));
  }
  chart.replaceChildren(...parts);
  chart.setAttribute("aria-label", `at most ${formatRate(Math.max(0, ...values))}`);
}

export function drawBar(fill, part) {
  fill.setAttribute("width", String(100 * Math.min(1, part)));
  fill.parentNode.classList.toggle("full", part > 0.97);
}

export function remember(values, value) {
  values.push(value);
  if (values.length > SECONDS) {
    values.shift();
  }
}
