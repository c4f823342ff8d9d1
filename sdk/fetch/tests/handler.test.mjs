// What becomes of requests, against a host that is a fake.

import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { IncomingRequest, ResponseOutparam } from "wasi:http/types@0.2.10";
import { handler } from "../wasgun-fetch/index.js";

const errors = mock.method(console, "error", () => {});

async function ask(fetch, { takes, ...request } = {}) {
  errors.mock.resetCalls();
  const [incoming, answer] = [new IncomingRequest(request), new ResponseOutparam(takes)];
  await handler(fetch).handle(incoming, answer);
  assert.ok(incoming.isDropped, "the request is dropped, and all that was taken of it");
  answer.errors = errors.mock.calls.map((call) => String(call.arguments[0])).join("\n");
  return answer;
}

const post = { method: { tag: "post" } };

test("a response is sent with its fields", async () => {
  const answer = await ask(() => {
    const headers = new Headers({ "x-a": "\xff" });
    headers.append("set-cookie", "a=1");
    headers.append("set-cookie", "b=2");
    return new Response("hello", { status: 201, headers });
  });
  assert.deepEqual([answer.status, answer.body(), answer.isFinished, answer.errors], [201, "hello", true, ""]);
  const fields = answer.fields.filter(([name]) => name !== "content-type");
  assert.deepEqual(fields, [["x-a", "\xff"], ["set-cookie", "a=1"], ["set-cookie", "b=2"]]);
});

test("a request is what the client sent", async () => {
  let seen;
  const request = {
    method: { tag: "other", val: "BREW" },
    target: "/a?b=%20",
    fields: [["x-twice", "1"], ["x-twice", "\xff"]],
    scheme: { tag: "HTTPS" },
  };
  await ask((request) => ((seen = request), new Response()), request);
  assert.deepEqual(
    [seen.method, seen.url, seen.headers.get("x-twice")],
    ["BREW", "https://example.com/a?b=%20", "1, \xff"],
  );
});

test("a request about the server has a URL too", async () => {
  let url;
  await ask((request) => ((url = request.url), new Response()), { method: { tag: "options" }, target: "*" });
  assert.equal(url, "http://example.com/*");
});

test("the body is read as it comes, and only if somebody wants it", async () => {
  const pieces = ["one", "two"];
  const echoed = await ask((request) => new Response(request.body), { ...post, pieces });
  assert.deepEqual(echoed.pieces, pieces);
  const unread = await ask(() => new Response("x"), { ...post, pieces });
  assert.equal(unread.body(), "x");
});

test("a body that is cut is an error", async () => {
  const answer = await ask(async (request) => new Response(await request.text()), { ...post, pieces: ["x"], isCut: true });
  assert.equal(answer.status, 500);
  assert.match(answer.errors, /sent less/);
});

test("large pieces go as the host has room", async () => {
  const answer = await ask(() => new Response("x".repeat(12_345)));
  assert.deepEqual([answer.body().length, answer.isFinished], [12_345, true]);
});

test("what no Request can be made of is the client's fault", async () => {
  for (const request of [{ host: "256.256.256.256" }, { host: "xn--a" }, { method: { tag: "trace" } }]) {
    const answer = await ask(() => assert.fail("it is not asked"), request);
    assert.deepEqual([answer.status, answer.body(), answer.errors], [400, "Bad Request\n", ""]);
  }
  const lower = await ask((request) => new Response(request.method), { method: { tag: "other", val: "get" } });
  assert.equal(lower.body(), "GET");
});

test("a failure before the head is a 500", async () => {
  const failures = [
    () => {
      throw new Error("asked to");
    },
    async () => Promise.reject(new Error("asked to")),
    () => "no response",
    () => new Response("x", { headers: { connection: "close" } }),
    () => Response.error(),
  ];
  for (const failure of failures) {
    const answer = await ask(failure);
    assert.deepEqual([answer.status, answer.body(), answer.isFinished], [500, "Internal Server Error\n", true]);
    assert.notEqual(answer.errors, "");
  }
});

test("after the head the response is cut", async () => {
  async function* pieces() {
    yield new TextEncoder().encode("x");
    throw new Error("asked to");
  }
  const answer = await ask(() => new Response(ReadableStream.from(pieces())));
  assert.deepEqual([answer.status, answer.body(), answer.isFinished], [200, "x", false]);
  assert.match(answer.errors, /asked to/);
});

test("a client that is gone is no failure, and whoever makes the body is told", async () => {
  let isCancelled = false;
  const body = new ReadableStream({
    pull: (controller) => controller.enqueue(new Uint8Array(100)),
    cancel: () => void (isCancelled = true),
  });
  const answer = await ask(() => new Response(body), { takes: 250 });
  assert.deepEqual([answer.body().length, answer.errors, isCancelled], [300, "", true]);
});

test("statuses without a body have none", async () => {
  for (const status of [204, 304]) {
    const answer = await ask(() => new Response(null, { status }));
    assert.deepEqual([answer.status, answer.pieces, answer.isFinished], [status, [], true]);
  }
});
