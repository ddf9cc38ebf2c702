// SPDX-License-Identifier: MIT
/**
 * @file Range-coded words -> integers (format_spec.md sections 6.3 to 6.5).
 * Must not know what the integers mean.
 *
 * A state of 64 bits is held as two doubles, the upper 40 and the lower 24 bits: with weights that
 * sum to 2^24, the upper ones of the range are the step itself, and every product below is exact.
 */
import { CorruptSectionError } from "./errors.mjs";

export const N_SCALES = 40;
const N_FRACTIONS = 8;
const N_TABLES = N_SCALES * N_FRACTIONS;
const N_SYMBOLS = 66;
const ESCAPE = 65;
const MAX_RESIDUAL = 32;
const MAX_PREFIX = 20;
const LOW = 2 ** 24; // what the lower half of the state counts up to, and the sum of all weights
const HALF = LOW / 2;
const MIN_STEP = 2 ** 8; // of a range of at least 2^32
// A quantile's upper bits tell where to begin to look for its symbol.
const HINT_SHIFT = 16;
const N_HINTS = LOW >> HINT_SHIFT;

// Decay of a tail over an eighth of a step, Q30, by scale (6.4).
export const DECAY_Q30 = [
  99533137, 145315154, 199759078, 261044606, 326914198, 395007542, 463130302, 529428476,
  592470630, 651257337, 705182512, 753969162, 797596699, 836230973, 870163178, 899760092,
  925425813, 947573834, 966607779, 982908970, 996829173, 1008687096, 1018767490, 1027321989,
  1034571010, 1040706261, 1045893524, 1050275481, 1053974460, 1057095000, 1059726201, 1061943836,
  1063812229, 1065385899, 1066710993, 1067826536, 1068765495, 1069555701, 1070220635, 1070780095,
];

/** `(a * b) >> shift` of products beyond 2^53. */
function multiplyShift(a, b, shift) {
  return Number((BigInt(a) * BigInt(b)) >> BigInt(shift));
}

/**
 * The weights of a table (6.4).
 * @param {number} scale 0..39
 * @param {number} fraction -4..3
 * @returns {number[]} 66 integers that sum to 2^24
 */
export function frequencyTable(scale, fraction) {
  const powers = [2 ** 30];
  for (let k = 0; k < 264; k++) powers.push(multiplyShift(powers[k], DECAY_Q30[scale], 30));
  const cumulative = (x) => (x >= 0 ? 2 ** 31 - powers[x] : powers[-x]);
  const start = -260 - fraction;
  const masses = [];
  for (let s = 0; s < ESCAPE; s++) {
    masses.push(cumulative(start + 8 * s + 8) - cumulative(start + 8 * s));
  }
  masses.push(cumulative(start) + 2 ** 31 - cumulative(start + 520));
  const weights = masses.map((mass) => 1 + multiplyShift(mass, LOW - N_SYMBOLS, 31));
  const sum = weights.reduce((total, weight) => total + weight, 0);
  weights[weights.indexOf(Math.max(...weights))] += LOW - sum;
  return weights;
}

/** Starts of the symbols of a table, their end, and the symbol at each hint; made once. */
const tables = new Array(N_TABLES);

function tableOf(number) {
  const weights = frequencyTable(Math.floor(number / N_FRACTIONS), (number % N_FRACTIONS) - 4);
  const starts = new Float64Array(N_SYMBOLS + 1);
  weights.forEach((weight, s) => (starts[s + 1] = starts[s] + weight));
  const hints = new Uint8Array(N_HINTS);
  for (let hint = 0, s = 0; hint < N_HINTS; hint++) {
    while (starts[s + 1] <= hint << HINT_SHIFT) s++;
    hints[hint] = s;
  }
  tables[number] = { starts, hints };
  return tables[number];
}

const COIN = {
  starts: Float64Array.of(0, HALF, LOW),
  hints: Uint8Array.from({ length: N_HINTS }, (_, hint) => (hint << HINT_SHIFT >= HALF ? 1 : 0)),
};

/** The integers of one range-coded payload. */
export class SymbolDecoder {
  /**
   * @param {Uint8Array} payload little-endian words
   * @param {string} where for messages
   */
  constructor(payload, where) {
    this.where = where;
    if (payload.length % 4 !== 0) {
      throw this.corrupt(`payload has ${payload.length} bytes, expected a multiple of 4`);
    }
    this.words = new Uint32Array(payload.length / 4);
    const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
    for (let i = 0; i < this.words.length; i++) this.words[i] = view.getUint32(4 * i, true);
    const [first = 0, second = 0] = this.words;
    this.position = 2; // of the next word
    this.step = 2 ** 40 - 1; // upper part of the range
    this.rest = LOW - 1; // its lower part, which the end of the stream depends on
    this.high = first * 2 ** 8 + (second >>> 24); // of the offset
    this.low = second & (LOW - 1);
    this.counts = new Int32Array(N_TABLES + 1);
    this.hasSymbols = false;
  }

  /**
   * Decode one call (6.5).
   * @param {Int32Array} locations in eighths
   * @param {Uint8Array} scales 0..39
   * @param {number} n how many of them
   * @param {Int32Array} values where the integers go
   */
  call(locations, scales, n, values) {
    if (n === 0) return;
    this.hasSymbols = true;
    this.#checkWords();
    const { counts } = this;
    counts.fill(0);
    for (let i = 0; i < n; i++) counts[8 * scales[i] + ((locations[i] + 4) & 7) + 1]++;
    for (let t = 0; t < N_TABLES; t++) counts[t + 1] += counts[t];
    const order = new Int32Array(n);
    for (let i = 0; i < n; i++) order[counts[8 * scales[i] + ((locations[i] + 4) & 7)]++] = i;
    // Each count is now where its table's integers end.
    const escaped = [];
    for (let t = 0, start = 0; t < N_TABLES; start = counts[t], t++) {
      if (counts[t] > start) this.#run(t, order, start, counts[t], locations, values, escaped);
    }
    for (const i of escaped) values[i] = ((locations[i] + 4) >> 3) + this.#escapedResidual();
  }

  /** Check that the words are those that an encoder writes at the end (6.3). */
  finish() {
    let nWords = this.hasSymbols ? this.position - 1 : 0;
    let isDone = true;
    if (this.hasSymbols) {
      const left = (this.step - this.high) * LOW + (this.rest - this.low);
      if (left < 2 ** 32) {
        nWords += 1;
        isDone = this.words[nWords - 1] === 0;
      }
      isDone &&= this.high < MIN_STEP;
    }
    if (!isDone || this.words.length !== nWords) {
      throw this.corrupt("the stream does not end with its last symbol");
    }
  }

  /** Refuse a stream of fewer words than even its symbols so far need (6.3). */
  #checkWords() {
    if (this.position - 1 > this.words.length) throw this.corrupt("coded words are missing");
  }

  corrupt(reason) {
    return new CorruptSectionError(`${this.where}: ${reason}; the file is damaged`);
  }

  #run(tableNumber, order, from, to, locations, values, escaped) {
    const table = tables[tableNumber] ?? tableOf(tableNumber);
    for (let k = from; k < to; k++) {
      const i = order[k];
      const symbol = this.#symbol(table);
      if (symbol === ESCAPE) escaped.push(i);
      else values[i] = ((locations[i] + 4) >> 3) + symbol - MAX_RESIDUAL;
    }
  }

  #symbol({ starts, hints }) {
    const { step, high, low } = this;
    const last = starts.length - 2;
    // Rounding may put the quantile one too high or too low; what follows notices.
    const quantile = Math.min(Math.floor((high * LOW + low) / step), LOW - 1);
    let symbol = hints[quantile >> HINT_SHIFT];
    while (quantile >= starts[symbol + 1]) symbol++;
    const stepHigh = Math.floor(step / LOW);
    const stepLow = step - stepHigh * LOW;
    for (;;) {
      // step * start and step * weight, as upper and lower parts.
      const start = starts[symbol];
      const startProduct = stepLow * start;
      const startCarry = Math.floor(startProduct / LOW);
      let restHigh = high - stepHigh * start - startCarry;
      let restLow = low - (startProduct - startCarry * LOW);
      if (restLow < 0) {
        restLow += LOW;
        restHigh -= 1;
      }
      if (restHigh < 0) {
        symbol -= 1;
        continue;
      }
      const weight = starts[symbol + 1] - start;
      const sizeProduct = stepLow * weight;
      const sizeCarry = Math.floor(sizeProduct / LOW);
      const sizeHigh = stepHigh * weight + sizeCarry;
      const sizeLow = sizeProduct - sizeCarry * LOW;
      if (restHigh > sizeHigh || (restHigh === sizeHigh && restLow >= sizeLow)) {
        if (symbol === last) throw this.corrupt("coded words are invalid");
        symbol += 1;
        continue;
      }
      if (sizeHigh < MIN_STEP) {
        const word = this.position < this.words.length ? this.words[this.position] : 0;
        this.position += 1;
        this.#checkWords();
        this.step = sizeHigh * 2 ** 32 + sizeLow * 2 ** 8;
        this.rest = 0;
        this.high = restHigh * 2 ** 32 + restLow * 2 ** 8 + (word >>> 24);
        this.low = word & (LOW - 1);
      } else {
        this.step = sizeHigh;
        this.rest = sizeLow;
        this.high = restHigh;
        this.low = restLow;
      }
      return symbol;
    }
  }

  /** Sign, prefix and suffix (6.5). */
  #escapedResidual() {
    const isNegative = this.#symbol(COIN) === 1;
    let nBits = 0;
    while (this.#symbol(COIN) === 1) {
      nBits += 1;
      if (nBits > MAX_PREFIX) throw this.corrupt(`an escape has over ${MAX_PREFIX} bits`);
    }
    let excess = 1;
    for (let i = 0; i < nBits; i++) excess = 2 * excess + this.#symbol(COIN);
    return isNegative ? -(excess + MAX_RESIDUAL) : excess + MAX_RESIDUAL;
  }
}
