// Requests and responses in place of the bindings' resources.

import { Fields, Request, Response } from "wasi:http/types@0.3.0";

export class Exchange {
  #request;

  constructor(request) {
    this.#request = request;
    const { tag, val } = request.getMethod();
    this.method = val ?? tag.toUpperCase();
    [this.path, this.query = ""] = (request.getPathWithQuery() ?? "/").split(/\?(.*)/s);
    this.fields = request.getHeaders().copyAll();
  }

  /** Answers a request by `handle`; what that throws goes to the server's log, and the client gets a 500. */
  static async run(request, handle) {
    try {
      return await handle(new Exchange(request));
    } catch (error) {
      // Without this the whole instance would end, and what else it works on with it.
      throw { tag: "internal-error", val: `${error}\n${error?.stack ?? ""}` };
    }
  }

  /** The first field of that name. */
  field(name) {
    const found = this.fields.find(([known]) => known.toLowerCase() === name);
    return found && latin1(found[1]);
  }

  /** The first parameter of the query of that name. */
  parameter(name) {
    const pairs = this.query.split("&").map((pair) => pair.split(/=(.*)/s, 2).map(decode));
    return pairs.find(([known]) => known === name)?.[1];
  }

  /** The body, as it comes. */
  body() {
    const { readable } = wit.Future.from({ tag: "ok" }, wit.Future.RESULT_VOID_ERROR_CODE);
    const [stream, trailers] = Request.consumeBody(this.#request, readable);
    trailers.drop();
    return stream;
  }

  async json() {
    const pieces = [];
    for await (const piece of this.body()) pieces.push(...piece);
    return JSON.parse(utf8(pieces));
  }

  text(status, text) {
    return this.respond(status, [["content-type", "text/plain; charset=utf-8"]], [text]);
  }

  /** A response of a body in pieces, of text or bytes, which may be a stream. */
  respond(status, fields, pieces = []) {
    const headers = Fields.fromList(fields.map(([name, value]) => [name, bytesOfLatin1(value)]));
    const stream = Array.isArray(pieces) ? wit.Stream.from(pieces.map(bytesOf)).readable : pieces;
    const trailers = wit.Future.from({ tag: "ok", val: null }, wit.Future.RESULT_OPTION_OTHER_ERROR_CODE);
    const [response, sent] = Response.new(headers, stream, trailers.readable);
    sent.drop();
    response.setStatusCode(status);
    return response;
  }
}

const latin1 = (bytes) => Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
const bytesOfLatin1 = (text) => Uint8Array.from(text, (character) => character.charCodeAt(0));
// The engine has neither TextEncoder nor TextDecoder, but these.
const bytesOf = (text) => bytesOfLatin1(unescape(encodeURIComponent(text)));
const utf8 = (bytes) => decodeURIComponent(escape(latin1(bytes)));
const decode = (text) => decodeURIComponent(text.replaceAll("+", " "));
