// gRPC-web over fetch: unary calls and server streams.
// Protocol: github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md

const FRAME_HEADER_BYTES = 5;
const TRAILERS = 0x80;
const CODES = [
  "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
  "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE",
  "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
];

/** What a call ends with when it does not end well: the gRPC code, the reason, and field by field what is wrong. */
export class RpcError extends Error {
  constructor(code, message, { reason = "", metadata = [], fields = [] } = {}) {
    super(message);
    this.code = code;
    this.reason = reason;
    this.metadata = metadata;
    this.fields = fields;
  }
}

export class Client {
  constructor(contract, { token = () => null } = {}) {
    this.contract = contract;
    this.token = token;
  }

  /** One answer. `method` is `souk.order.v1.OrderService/PlaceOrder`. */
  async call(method, request = {}) {
    let answer;
    for await (const message of this.stream(method, request)) answer = message;
    if (answer === undefined) throw new RpcError("INTERNAL", "the call ended without an answer");
    return answer;
  }

  /** Every message of a server stream, as it arrives. */
  async *stream(method, request = {}, { signal } = {}) {
    const [service, name] = method.split("/");
    const type = service.slice(0, service.lastIndexOf("."));
    const headers = { "content-type": "application/grpc-web+proto", "x-grpc-web": "1" };
    const token = this.token();
    if (token) headers.authorization = `Bearer ${token}`;
    const body = frame(this.contract.encode(`${type}.${name}Request`, request));
    const answer = await fetch(`/${method}`, { method: "POST", headers, body, signal });
    if (!answer.ok && !answer.headers.has("grpc-status")) {
      throw new RpcError("UNAVAILABLE", `the shop answered HTTP ${answer.status}`);
    }
    this.#check(answer.headers);
    let ended = answer.headers.has("grpc-status");
    for await (const [flags, data] of frames(answer.body)) {
      if (flags & TRAILERS) {
        this.#check(trailers(data));
        ended = true;
      } else {
        yield this.contract.decode(`${type}.${name}Response`, data);
      }
    }
    if (!ended) throw new RpcError("UNAVAILABLE", "the connection was cut");
  }

  #check(headers) {
    const status = Number(headers.get("grpc-status") ?? 0);
    if (status === 0) return;
    const message = decodeURIComponent(headers.get("grpc-message") ?? "");
    throw new RpcError(CODES[status] ?? "UNKNOWN", message, this.#details(headers.get("grpc-status-details-bin")));
  }

  #details(encoded) {
    if (!encoded) return {};
    const padded = encoded.padEnd(Math.ceil(encoded.length / 4) * 4, "=");
    const data = Uint8Array.from(atob(padded), (letter) => letter.charCodeAt(0));
    const found = {};
    for (const detail of this.contract.decode("google.rpc.Status", data).details) {
      const type = detail.type_url.split("/").pop();
      if (type === "google.rpc.ErrorInfo") found.reason = this.contract.decode(type, detail.value).reason;
      if (type === "google.rpc.BadRequest") found.fields = this.contract.decode(type, detail.value).field_violations;
    }
    return found;
  }
}

function frame(message) {
  const framed = new Uint8Array(FRAME_HEADER_BYTES + message.length);
  new DataView(framed.buffer).setUint32(1, message.length);
  framed.set(message, FRAME_HEADER_BYTES);
  return framed;
}

async function* frames(body) {
  if (!body) return;
  let held = new Uint8Array();
  const reader = body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const joined = new Uint8Array(held.length + value.length);
      joined.set(held);
      joined.set(value, held.length);
      held = joined;
      while (held.length >= FRAME_HEADER_BYTES) {
        const length = new DataView(held.buffer, held.byteOffset).getUint32(1);
        if (held.length < FRAME_HEADER_BYTES + length) break;
        yield [held[0], held.subarray(FRAME_HEADER_BYTES, FRAME_HEADER_BYTES + length)];
        held = held.subarray(FRAME_HEADER_BYTES + length);
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function trailers(data) {
  const found = new Map();
  for (const line of new TextDecoder().decode(data).split("\r\n")) {
    const colon = line.indexOf(":");
    if (colon > 0) found.set(line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim());
  }
  return found;
}
