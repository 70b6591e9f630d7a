// The live page: what the server and its clients do, and a box to change a limit.

import { drawBar, drawChart, remember } from "./chart.js";
import { formatLimit, formatRate, formatTime, parseRate } from "./format.js";
import { Stream } from "./stream.js";
import { Table } from "./table.js";

const EVENTS_SHOWN = 200;
const TYPING_MS = 300;

const at = (id) => document.getElementById(id);
const sent = [];
const table = new Table(at("clients"), (client) => askLimit(client));
const stream = new Stream({ event, state, token });

function state(text, isBad = false) {
  at("state").textContent = text;
  at("state").classList.toggle("bad", isBad);
}

function event(kind, data) {
  if (kind === "clients") {
    showServer(data);
    table.show(data.clients);
    showCounts(data);
  } else {
    showEvent(kind, data);
  }
}

function showServer(data) {
  const { server } = data;
  const now = data.sent_bps ?? server.mean_bps;
  const limit = server.effective_bps;
  remember(sent, now);
  state(server.state, server.state === "draining");
  at("server-rate").textContent = formatRate(now);
  at("server-limit").textContent = limit ? `of ${formatLimit(limit)}` : "no limit";
  drawBar(at("server-bar"), limit ? now / limit : 0);
  drawChart(at("server-chart"), sent, limit, 40);
  at("server-transfers").textContent = server.transfers;
  at("server-parked").textContent = server.parked;
  at("server-connections").textContent = server.connections;
  at("server-engines").textContent = data.engines;
  at("server-version").textContent = server.config_version;
}

function showCounts(data) {
  const { clients, total_rows, found_rows } = data;
  at("nobody").hidden = clients.length > 0;
  at("nobody").textContent = total_rows ? "Nobody has that name." : "Nobody has been seen yet.";
  const found = found_rows === total_rows ? "" : `, ${found_rows} found`;
  at("shown").textContent = `${clients.length} shown${found}, ${total_rows} in all`;
}

function showEvent(kind, data) {
  const { time, subject, ...said } = data;
  const when = document.createElement("time");
  when.dateTime = time;
  when.textContent = formatTime(time);
  const what = document.createElement("b");
  what.textContent = kind;
  const text = document.createElement("span");
  text.textContent = `${subject}: ${words(said)}`;
  const line = document.createElement("li");
  line.append(when, what, text);
  at("events").prepend(line);
  while (at("events").children.length > EVENTS_SHOWN) {
    at("events").lastChild.remove();
  }
}

function words(said) {
  return Object.entries(said)
    .map(([name, value]) =>
      name.endsWith("_bps")
        ? `${name.slice(0, -4)} ${value === null ? "none" : formatRate(value)}`
        : `${name} ${value ?? "none"}`)
    .join(", ");
}

function askLimit(client) {
  const form = at("limit").querySelector("form");
  form.reset();
  form.client.value = client?.client_id ?? "";
  form.client.readOnly = client !== undefined;
  form.querySelector(".problem").textContent = "";
  at("limit").showModal();
  (client ? form.rate : form.client).focus();
}

async function setLimit(submitted) {
  submitted.preventDefault();
  const form = submitted.target;
  try {
    await stream.setLimit(form.client.value.trim(), parseRate(form.rate.value));
    at("limit").close();
  } catch (error) {
    form.querySelector(".problem").textContent = error.message;
  }
}

// Whoever needs it asks; there is one question for all.
let question = null;

function token(wasWrong) {
  question ??= new Promise((resolve) => {
    const form = at("token").querySelector("form");
    form.reset();
    form.querySelector(".problem").textContent = wasWrong ? "That was not it." : "";
    form.onsubmit = () => {
      question = null;
      resolve(form.token.value);
    };
    // Esc closes it in the end, whatever a page prevents: the question comes back.
    at("token").onclose = () => question && at("token").showModal();
    at("token").showModal();
  });
  state("the admin token is needed", true);
  return question;
}

let typing = 0;
at("find").addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(() => stream.seek(at("find").value.trim()), TYPING_MS);
});
at("other").addEventListener("click", () => askLimit());
at("limit").querySelector("form").addEventListener("submit", setLimit);
at("limit").querySelector("[value=cancel]").addEventListener("click", () => at("limit").close());
stream.run();
