// Rates as people read and write them. All in bytes per second.

const DECIMAL = ["", "k", "M", "G", "T"];
const FACTOR = { "": 1, k: 1e3, K: 1e3, M: 1e6, G: 1e9, T: 1e12,
  Ki: 2 ** 10, Mi: 2 ** 20, Gi: 2 ** 30, Ti: 2 ** 40 };
const RATE = /^([0-9]{1,15}(?:\.[0-9]{1,15})?) ?(?:([kKMGT]i?)?(B|bit))?(?:\/s)?$/;
const RATE_MAX = 1e12;

// Three digits: "4.98 MB/s".
export function formatRate(bps) {
  let value = bps;
  let power = 0;
  while (value >= 999.5 && power < DECIMAL.length - 1) {
    value /= 1000;
    power += 1;
  }
  const text = power ? value.toPrecision(3) : String(Math.round(value));
  return `${text} ${DECIMAL[power]}B/s`;
}

export function formatLimit(bps) {
  return bps === null || bps === undefined ? "no limit" : formatRate(bps);
}

// A whole number of bytes per second; throws an Error that says what is possible.
export function parseRate(text) {
  const match = RATE.exec(text.trim());
  const factor = match && (FACTOR[match[2] ?? ""] ?? NaN) / (match[3] === "bit" ? 8 : 1);
  const bps = match ? Math.round(Number(match[1]) * factor) : NaN;
  if (!(bps >= 1 && bps <= RATE_MAX)) {
    throw new Error(`${text} is not a rate: write it like 5MB/s, 40Mbit/s or 5242880`);
  }
  return bps;
}

export function formatTime(rfc3339) {
  return new Date(rfc3339).toLocaleTimeString();
}
