// An app without a framework: a function from Request to Response.

import { handler } from "wasgun-fetch";

export const incomingHandler = handler(async (request) => {
  const { pathname, searchParams } = new URL(request.url);
  switch (`${request.method} ${pathname}`) {
    case "GET /":
      return text("Hello from JavaScript!\n");
    case "POST /echo":
      // As it comes.
      return new Response(request.body, { headers: contentType(request) });
    case "GET /headers": {
      const headers = new Headers({ "x-answer": request.headers.get("x-question") ?? "" });
      headers.append("set-cookie", "a=1");
      headers.append("set-cookie", "b=2");
      return new Response(null, { headers });
    }
    case "GET /query":
      return text(`Hello, ${searchParams.get("name") ?? "world"}!\n`);
    case "POST /json":
      return sum(await request.json().catch(() => null));
    case "GET /error":
      throw new Error("asked to");
    default:
      return text("Not found\n", 404);
  }
});

function sum(value) {
  const numbers = value?.numbers;
  if (!Array.isArray(numbers) || !numbers.every(Number.isFinite)) {
    return text("numbers is to be a list of numbers\n", 400);
  }
  return Response.json({ sum: numbers.reduce((a, b) => a + b, 0) });
}

function contentType(request) {
  const type = request.headers.get("content-type");
  return type ? { "content-type": type } : {};
}

function text(body, status = 200) {
  return new Response(body, { status, headers: { "content-type": "text/plain; charset=utf-8" } });
}
