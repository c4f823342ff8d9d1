// Serves a fetch handler as a WASI 0.2 component whose instances can be reused.

import { Fields, OutgoingBody, OutgoingResponse, ResponseOutparam } from "wasi:http/types@0.2.10";

const READ = 64n * 1024n;
// The most that the host takes in one blocking call.
const BLOCKING_WRITE = 4096;
// Statuses whose responses have no body, so that a `Response` with one cannot be made.
const WITHOUT_BODY = [101, 204, 205, 304];

/** See index.d.ts. */
export function handler(fetch) {
  return {
    async handle(incoming, responseOut) {
      const body = new Body(incoming);
      try {
        const asked = request(incoming, body);
        await respond(asked ? await answer(fetch, asked) : new Response("Bad Request\n", { status: 400 }), responseOut);
      } finally {
        // In this order, children first: what is left to the garbage collector makes a reused instance grow.
        body.drop();
        drop(incoming);
      }
    },
  };
}

async function answer(fetch, request) {
  try {
    const response = await fetch(request);
    if (!(response instanceof Response)) throw new TypeError(`the handler returned ${typeof response}, not a Response`);
    return response;
  } catch (error) {
    report(error);
    return failed();
  }
}

const failed = () => new Response("Internal Server Error\n", { status: 500 });

/** Nothing, if no `Request` can be made of it, which knows less than HTTP does: `Host: 256.256.256.256`. */
function request(incoming, body) {
  const scheme = incoming.scheme()?.tag === "HTTPS" ? "https" : "http";
  const target = incoming.pathWithQuery() ?? "/";
  // `OPTIONS *` is about no path, but a URL has one.
  const path = target.startsWith("/") ? target : `/${target}`;
  const url = `${scheme}://${incoming.authority() ?? "localhost"}${path}`;
  const { tag, val } = incoming.method();
  const method = val ?? tag.toUpperCase();
  const fields = incoming.headers();
  const headers = new Headers();
  for (const [name, value] of fields.entries()) headers.append(name, latin1(value));
  drop(fields);
  // These have none, and a `Request` with one cannot be made; it takes `get` for the same.
  const rest = /^(get|head)$/i.test(method) ? {} : { body: body.stream(), duplex: "half" };
  try {
    return new Request(url, { method, headers, ...rest });
  } catch {
    return undefined;
  }
}

/** The body of a request, which is taken when somebody reads it. */
class Body {
  #incoming;
  #body;
  #stream;

  constructor(incoming) {
    this.#incoming = incoming;
  }

  stream() {
    return new ReadableStream(
      {
        pull: (controller) => {
          this.#body ??= this.#incoming.consume();
          this.#stream ??= this.#body.stream();
          try {
            controller.enqueue(this.#stream.blockingRead(READ));
          } catch (error) {
            if (isClosed(error)) controller.close();
            else controller.error(new Error("the client sent less of the body than it announced"));
          }
        },
      },
      // Nothing before it is asked for.
      { highWaterMark: 0 },
    );
  }

  drop() {
    drop(this.#stream);
    drop(this.#body);
  }
}

async function respond(response, responseOut) {
  let outgoing;
  try {
    outgoing = new OutgoingResponse(fieldsOf(response.headers));
    outgoing.setStatusCode(response.status);
  } catch (error) {
    const head = `the status ${response.status} with the headers ${JSON.stringify([...response.headers])}`;
    report(new Error(`the host refuses ${head}`, { cause: error }));
    drop(outgoing);
    response = failed();
    outgoing = new OutgoingResponse(fieldsOf(response.headers));
    outgoing.setStatusCode(response.status);
  }
  const body = outgoing.body();
  ResponseOutparam.set(responseOut, { tag: "ok", val: outgoing });
  const stream = body.write();
  let isWhole = false;
  try {
    if (response.body && !WITHOUT_BODY.includes(response.status)) {
      const reader = response.body.getReader();
      try {
        for (let piece; !(piece = await reader.read()).done; ) write(stream, bytesOf(piece.value));
      } catch (error) {
        // Whoever makes the body may stop.
        await reader.cancel(error).catch(() => {});
        throw error;
      }
    }
    isWhole = true;
  } catch (error) {
    // Closed: the client is gone, or has all that was announced.
    if (!isClosed(error)) report(error);
    else isWhole = true;
  }
  drop(stream);
  // A body that is not finished is cut, so that nobody takes it for a whole one.
  if (!isWhole) return drop(body);
  try {
    OutgoingBody.finish(body, undefined);
  } catch (error) {
    // The client is gone, or this was a HEAD, which announces what it does not send.
  }
}

function write(stream, bytes) {
  if (bytes.length <= BLOCKING_WRITE) return stream.blockingWriteAndFlush(bytes);
  for (let at = 0; at < bytes.length; ) {
    const room = Number(stream.checkWrite());
    if (room === 0) {
      const ready = stream.subscribe();
      ready.block();
      drop(ready);
    } else {
      stream.write(bytes.subarray(at, at + room));
      at += room;
    }
  }
  stream.blockingFlush();
}

function fieldsOf(headers) {
  const entries = [];
  for (const [name, value] of headers) {
    if (name !== "set-cookie") entries.push([name, bytesOfLatin1(value)]);
  }
  // Several cannot be one field.
  for (const value of headers.getSetCookie()) entries.push(["set-cookie", bytesOfLatin1(value)]);
  return Fields.fromList(entries);
}

function bytesOf(piece) {
  // Not `instanceof`: what the engine reads ahead comes of another realm.
  if (ArrayBuffer.isView(piece)) return new Uint8Array(piece.buffer, piece.byteOffset, piece.byteLength);
  throw new TypeError(`the body is to be made of Uint8Arrays, and not of ${Object.prototype.toString.call(piece)}`);
}

// Fields are short: a call for all of their bytes is cheaper than one for each.
const latin1 = (bytes) => (bytes.length < 8192 ? String.fromCharCode(...bytes) : longLatin1(bytes));
const longLatin1 = (bytes) => Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");

function bytesOfLatin1(text) {
  const bytes = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at++) bytes[at] = text.charCodeAt(at);
  return bytes;
}

const isClosed = (error) => error?.payload?.tag === "closed";
const drop = (resource) => resource?.[Symbol.dispose || Symbol.for("dispose")]?.();

function report(error) {
  console.error(error?.stack ? `${error}\n${error.stack}` : String(error));
}
