// The table of clients: a row for each, kept while it is shown, so that nothing that has
// the focus goes away.

import { drawBar, drawChart, remember, svg, SECONDS } from "./chart.js";
import { formatLimit, formatRate } from "./format.js";

const HISTORIES_MAX = 500;

export class Table {
  // onLimit(client): the limit of this one is to be changed.
  constructor(body, onLimit) {
    this.body = body;
    this.onLimit = onLimit;
    this.rows = new Map();
    this.histories = new Map();
  }

  show(clients) {
    const seen = new Set(clients.map((client) => client.client_id));
    for (const [id, row] of this.rows) {
      if (!seen.has(id)) {
        row.element.remove();
        this.rows.delete(id);
      }
    }
    this.remember(clients);
    clients.forEach((client, index) => this.place(client, index));
  }

  remember(clients) {
    for (const client of clients) {
      const values = this.histories.get(client.client_id) ?? [];
      // The ones seen last are the last ones of the map.
      this.histories.delete(client.client_id);
      this.histories.set(client.client_id, values);
      remember(values, client.sent_bps ?? client.mean_bps);
    }
    for (const id of this.histories.keys()) {
      if (this.histories.size <= HISTORIES_MAX) {
        break;
      }
      this.histories.delete(id);
    }
  }

  place(client, index) {
    let row = this.rows.get(client.client_id);
    if (!row) {
      row = new Row(client.client_id, () => this.onLimit(row.client));
      this.rows.set(client.client_id, row);
    }
    if (this.body.children[index] !== row.element) {
      this.body.insertBefore(row.element, this.body.children[index] ?? null);
    }
    row.show(client, this.histories.get(client.client_id));
  }
}

class Row {
  constructor(id, onLimit) {
    this.cells = {};
    this.element = document.createElement("tr");
    this.element.dataset.client = id;
    this.add("client", "th").scope = "row";
    this.cells.client.textContent = this.cells.client.title = id;
    this.add("group");
    this.add("number");
    this.text = document.createElement("span");
    this.fill = svg("rect", { class: "fill", width: 0, height: 6 });
    const bar = svg("svg", { class: "bar", "aria-hidden": "true",
      viewBox: "0 0 100 6", preserveAspectRatio: "none" });
    bar.append(svg("rect", { width: 100, height: 6 }), this.fill);
    this.add("limit").append(this.text, bar);
    this.chart = svg("svg", { class: "chart", role: "img",
      viewBox: `0 0 ${SECONDS} 24`, preserveAspectRatio: "none" });
    this.add("history").append(this.chart);
    this.add("limiter");
    this.add("doing");
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Limit";
    button.setAttribute("aria-label", `Change the limit of ${id}`);
    button.addEventListener("click", onLimit);
    this.add("change").append(button);
  }

  add(name, tag = "td") {
    const cell = document.createElement(tag);
    cell.className = name;
    this.cells[name] = cell;
    this.element.append(cell);
    return cell;
  }

  show(client, values) {
    this.client = client;
    const now = client.sent_bps ?? client.mean_bps;
    const limit = client.effective_bps;
    this.cells.group.textContent = client.group ?? "";
    this.cells.number.textContent = formatRate(now);
    this.text.textContent = formatLimit(limit);
    drawBar(this.fill, limit ? now / limit : 0);
    drawChart(this.chart, values, limit, 24);
    this.cells.limiter.textContent = client.limited_by === "none" ? "–" : client.limited_by;
    this.cells.doing.textContent = doing(client);
    this.cells.doing.classList.toggle("bad", broken(client));
  }
}

function broken(client) {
  return (client.breaker ?? "closed") !== "closed";
}

function doing(client) {
  const { transfers, parked } = client;
  const downloads = `${transfers} download${transfers === 1 ? "" : "s"}`;
  const words = transfers ? downloads + (parked ? `, ${parked} waiting` : "") : "idle";
  return broken(client) ? `${client.breaker.replace("_", "-")}, ${words}` : words;
}
