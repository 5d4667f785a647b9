// Protocol Buffers for the page: encodes and decodes any message of the contract.
//
// The contract itself comes from the server (`/contract.json`, made from the same descriptors as the
// services), so no field number is written here. Wire format: protobuf.dev/programming-guides/encoding.
// 64-bit integers travel as BigInt inside and as Number outside where they are safe integers.

const WIRE = { VARINT: 0, FIXED64: 1, BYTES: 2, FIXED32: 5 };
const text = { encode: new TextEncoder(), decode: new TextDecoder() };

export class Contract {
  constructor({ messages, enums }) {
    this.messages = messages;
    this.enums = enums;
  }

  static async load(url = "/contract.json") {
    const answer = await fetch(url);
    if (!answer.ok) throw new Error(`the contract is not there: HTTP ${answer.status}`);
    return new Contract(await answer.json());
  }

  fields(type) {
    const fields = this.messages[type];
    if (!fields) throw new Error(`no message is called ${type}`);
    return fields;
  }

  /** Bytes of a plain object; a name that the message does not have is an error. */
  encode(type, value) {
    const fields = this.fields(type);
    for (const name of Object.keys(value)) {
      if (!fields.some((field) => field.name === name)) throw new Error(`${type} has no field ${name}`);
    }
    const out = [];
    for (const field of fields) {
      const given = value[field.name];
      if (given === undefined || given === null) continue;
      for (const item of field.repeated ? given : [given]) this.#put(out, field, item);
    }
    return Uint8Array.from(out);
  }

  #put(out, field, value) {
    switch (field.kind) {
      case "string": return bytes(out, field.number, text.encode.encode(value));
      case "bytes": return bytes(out, field.number, value);
      case "message": return bytes(out, field.number, this.encode(field.type, value));
      case "bool": return varint(tag(out, field.number, WIRE.VARINT), value ? 1n : 0n);
      case "enum": return varint(tag(out, field.number, WIRE.VARINT), BigInt(this.#enumNumber(field.type, value)));
      case "double": {
        const buffer = new Uint8Array(8);
        new DataView(buffer.buffer).setFloat64(0, value, true);
        tag(out, field.number, WIRE.FIXED64).push(...buffer);
        return;
      }
      case "float": {
        const buffer = new Uint8Array(4);
        new DataView(buffer.buffer).setFloat32(0, value, true);
        tag(out, field.number, WIRE.FIXED32).push(...buffer);
        return;
      }
      case "integer": return varint(tag(out, field.number, WIRE.VARINT), BigInt.asUintN(64, BigInt(value)));
      default: throw new Error(`cannot write a ${field.kind}`);
    }
  }

  #enumNumber(type, name) {
    const found = Object.entries(this.enums[type]).find(([, known]) => known === name);
    if (!found) throw new Error(`${type} has no value ${name}`);
    return found[0];
  }

  /** A plain object: absent scalars are their zero value, absent messages undefined, enums their names. */
  decode(type, data) {
    const fields = this.fields(type);
    const value = {};
    for (const field of fields) {
      if (field.repeated) value[field.name] = [];
      else if (field.kind !== "message" && !field.optional) value[field.name] = this.#zero(field);
    }
    const reader = new Reader(data);
    while (!reader.done()) {
      const key = Number(reader.varint());
      const field = fields.find((known) => known.number === key >>> 3);
      if (!field) reader.skip(key & 7);
      else this.#take(value, field, key & 7, reader);
    }
    return value;
  }

  #zero(field) {
    if (field.kind === "string") return "";
    if (field.kind === "bool") return false;
    if (field.kind === "bytes") return new Uint8Array();
    if (field.kind === "enum") return this.enums[field.type][0];
    return 0;
  }

  #take(value, field, wire, reader) {
    const packed = field.repeated && wire === WIRE.BYTES && !["string", "bytes", "message"].includes(field.kind);
    const source = packed ? new Reader(reader.bytes()) : reader;
    do {
      const item = this.#read(field, source);
      if (field.repeated) value[field.name].push(item);
      else value[field.name] = item;
    } while (packed && !source.done());
  }

  #read(field, reader) {
    switch (field.kind) {
      case "string": return text.decode.decode(reader.bytes());
      case "bytes": return reader.bytes();
      case "message": return this.decode(field.type, reader.bytes());
      case "bool": return reader.varint() !== 0n;
      case "enum": {
        const number = Number(reader.varint());
        return this.enums[field.type][number] ?? number;
      }
      case "double": return reader.double();
      case "float": return reader.float();
      case "integer": {
        const number = BigInt.asIntN(64, reader.varint());
        return Number.isSafeInteger(Number(number)) ? Number(number) : number;
      }
      default: throw new Error(`cannot read a ${field.kind}`);
    }
  }
}

function tag(out, number, wire) {
  varint(out, BigInt((number << 3) | wire));
  return out;
}

function varint(out, value) {
  while (value > 127n) {
    out.push(Number(value & 127n) | 128);
    value >>= 7n;
  }
  out.push(Number(value));
}

function bytes(out, number, data) {
  varint(tag(out, number, WIRE.BYTES), BigInt(data.length));
  for (const byte of data) out.push(byte);
}

class Reader {
  constructor(data) {
    this.data = data;
    this.at = 0;
  }

  done() {
    return this.at >= this.data.length;
  }

  varint() {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      if (this.done()) break;
      const byte = this.data[this.at++];
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return value;
    }
    throw new Error("a message is cut short");
  }

  bytes() {
    return this.#next(Number(this.varint()));
  }

  double() {
    const part = this.#next(8);
    return new DataView(part.buffer, part.byteOffset, 8).getFloat64(0, true);
  }

  float() {
    const part = this.#next(4);
    return new DataView(part.buffer, part.byteOffset, 4).getFloat32(0, true);
  }

  #next(length) {
    if (this.at + length > this.data.length) throw new Error("a message is cut short");
    this.at += length;
    return this.data.subarray(this.at - length, this.at);
  }

  skip(wire) {
    if (wire === WIRE.VARINT) this.varint();
    else if (wire === WIRE.FIXED64) this.#next(8);
    else if (wire === WIRE.BYTES) this.bytes();
    else if (wire === WIRE.FIXED32) this.#next(4);
    else throw new Error(`a field has the unknown wire type ${wire}`);
  }
}
