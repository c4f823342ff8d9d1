// An app for WASI 0.3 on QuickJS, a small engine without the classes of the web.

import { Exchange } from "./exchange.js";

async function handle(exchange) {
  switch (`${exchange.method} ${exchange.path}`) {
    case "GET /":
      return exchange.text(200, "Hello from QuickJS!\n");
    case "POST /echo":
      // As it comes.
      return exchange.respond(200, contentType(exchange), exchange.body());
    case "GET /headers": {
      const fields = [["x-answer", exchange.field("x-question") ?? ""], ["set-cookie", "a=1"], ["set-cookie", "b=2"]];
      return exchange.respond(200, fields);
    }
    case "GET /query":
      return exchange.text(200, `Hello, ${exchange.parameter("name") ?? "world"}!\n`);
    case "POST /json":
      return sum(exchange, await exchange.json().catch(() => null));
    case "GET /error":
      throw new Error("asked to");
    default:
      return exchange.text(404, "Not found\n");
  }
}

function sum(exchange, value) {
  const numbers = value?.numbers;
  if (!Array.isArray(numbers) || !numbers.every(Number.isFinite)) {
    return exchange.text(400, "numbers is to be a list of numbers\n");
  }
  const text = JSON.stringify({ sum: numbers.reduce((a, b) => a + b, 0) });
  return exchange.respond(200, [["content-type", "application/json"]], [text]);
}

function contentType(exchange) {
  const type = exchange.field("content-type");
  return type ? [["content-type", type]] : [];
}

export const handler = { handle: (request) => Exchange.run(request, handle) };
