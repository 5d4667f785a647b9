// gRPC-web over fetch: unary calls and server streams.
// Protocol: github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md

const FRAME_HEADER_BYTES = 5;
const TRAILERS = 0x80;
/** How long one answer may take until the page stops waiting for it. */
const CALL_TIMEOUT_MS = 10_000;
const CODES = [
  "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
  "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE",
  "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
];

/** What a call ends with when it does not end well: the gRPC code, the reason, and field by field what is wrong. */
export class RpcError extends Error {
  constructor(code, message, { reason = "", fields = [] } = {}) {
    super(message);
    this.code = code;
    this.reason = reason;
    this.fields = fields;
  }
}

/** Calls the shop. `session` holds the token; one that the shop does not know (any more) is dropped. */
export class Client {
  constructor(contract, session) {
    this.contract = contract;
    this.session = session;
  }

  /** One answer. `method` is `souk.order.v1.OrderService/PlaceOrder`. */
  async call(method, request = {}) {
    let answer;
    const signal = AbortSignal.timeout(CALL_TIMEOUT_MS);
    for await (const message of this.stream(method, request, { signal })) answer = message;
    if (answer === undefined) throw new RpcError("INTERNAL", "the call ended without an answer");
    return answer;
  }

  /** Every message of a server stream, as it arrives. */
  async *stream(method, request = {}, { signal } = {}) {
    const { token } = this.session;
    try {
      yield* this.#attempt(method, request, token, signal);
    } catch (error) {
      // A stale token is refused even where none is needed: what is for everybody works without it.
      if (!token || error.reason !== "BAD_CREDENTIALS") throw error;
      this.session.drop();
      yield* this.#attempt(method, request, null, signal);
    }
  }

  async *#attempt(method, request, token, signal) {
    const [service, name] = method.split("/");
    const type = service.slice(0, service.lastIndexOf("."));
    const headers = { "content-type": "application/grpc-web+proto", "x-grpc-web": "1" };
    if (token) headers.authorization = `Bearer ${token}`;
    const body = frame(this.contract.encode(`${type}.${name}Request`, request));
    try {
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
    } catch (error) {
      throw asRpcError(error);
    }
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

/** What the network says is an error of the call too. */
function asRpcError(error) {
  if (error instanceof RpcError) return error;
  if (error.name === "TimeoutError") return new RpcError("DEADLINE_EXCEEDED", "the shop takes too long to answer");
  if (error instanceof TypeError) return new RpcError("UNAVAILABLE", "the shop cannot be reached");
  return error;
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
