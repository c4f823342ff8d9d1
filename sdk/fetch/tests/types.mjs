// A host with one request, which notes what becomes of it.

const bytes = (text) => Uint8Array.from(text, (character) => character.charCodeAt(0));
const closed = () => Object.assign(new Error("closed"), { payload: { tag: "closed" } });
const failed = () => Object.assign(new Error("failed"), { payload: { tag: "last-operation-failed" } });
const dispose = Symbol.dispose || Symbol.for("dispose");

/** Knows whether it was dropped, and that its children have to be dropped before. */
class Resource {
  children = [];
  isDropped = false;

  child(resource) {
    this.children.push(resource);
    return resource;
  }

  [dispose]() {
    if (this.isDropped) throw new Error("it is dropped twice");
    if (!this.children.every((child) => child.isDropped)) throw new Error("it is dropped before its children");
    this.isDropped = true;
  }
}

export class Fields extends Resource {
  constructor(list) {
    super();
    this.list = list;
  }

  static fromList(list) {
    if (list.some(([name]) => name === "connection")) throw new Error("forbidden");
    return new Fields(list);
  }

  entries() {
    return this.list;
  }
}

export class IncomingRequest extends Resource {
  constructor({ method = { tag: "get" }, host = "example.com", target = "/", fields = [], pieces = [], isCut = false, scheme }) {
    super();
    Object.assign(this, { m: method, host, target, fields, pieces: [...pieces], isCut, s: scheme });
  }

  method = () => this.m;
  scheme = () => this.s;
  authority = () => this.host;
  pathWithQuery = () => this.target;
  headers = () => this.child(new Fields(this.fields.map(([name, value]) => [name, bytes(value)])));

  consume() {
    const stream = new Resource();
    stream.blockingRead = () => {
      if (this.pieces.length > 0) return bytes(this.pieces.shift());
      throw this.isCut ? failed() : closed();
    };
    const body = new Resource();
    body.stream = () => body.child(stream);
    return this.child(body);
  }
}

export class OutgoingResponse {
  status = 200;

  constructor(fields) {
    this.fields = fields;
  }

  setStatusCode(status) {
    if (status < 100) throw new Error("no status");
    this.status = status;
  }

  body() {
    this.taken = new OutgoingBody();
    return this.taken;
  }
}

export class OutgoingBody extends Resource {
  write() {
    const written = [];
    const take = (piece) => {
      const { answer } = this;
      if (answer.takes !== undefined && answer.body().length >= answer.takes) throw closed();
      answer.pieces.push(Buffer.from(piece).toString("latin1"));
    };
    return this.child(
      Object.assign(new Resource(), {
        blockingWriteAndFlush: take,
        checkWrite: () => 5000n,
        write: (piece) => written.push(piece),
        blockingFlush: () => written.splice(0).forEach(take),
      }),
    );
  }

  static finish(body) {
    body[dispose]();
    body.answer.isFinished = true;
  }
}

/** Where the response goes; it takes so many bytes, and then the client is gone. */
export class ResponseOutparam {
  pieces = [];
  isFinished = false;

  constructor(takes) {
    this.takes = takes;
  }

  body = () => this.pieces.join("");

  static set(answer, { val: response }) {
    const fields = response.fields.list.map(([name, value]) => [name, Buffer.from(value).toString("latin1")]);
    Object.assign(answer, { status: response.status, fields });
    response.taken.answer = answer;
  }
}
