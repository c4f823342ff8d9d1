// An app with Hono.

import { Hono } from "hono";
import { handler } from "wasgun-fetch";

const app = new Hono();

app.get("/", (c) => c.text("Hello from TypeScript!\n"));

// As it comes.
app.post("/echo", (c) => {
  const type = c.req.header("content-type");
  return new Response(c.req.raw.body, { headers: type ? { "content-type": type } : {} });
});

app.get("/headers", (c) => {
  c.header("x-answer", c.req.header("x-question") ?? "");
  c.header("set-cookie", "a=1", { append: true });
  c.header("set-cookie", "b=2", { append: true });
  return c.body(null);
});

app.get("/query", (c) => c.text(`Hello, ${c.req.query("name") ?? "world"}!\n`));

app.post("/json", async (c) => {
  const value = await c.req.json<{ numbers: unknown }>().catch(() => undefined);
  const numbers = value?.numbers;
  if (!isNumbers(numbers)) return c.text("numbers is to be a list of numbers\n", 400);
  return c.json({ sum: numbers.reduce((a, b) => a + b, 0) });
});

app.get("/error", () => {
  throw new Error("asked to");
});

function isNumbers(value: unknown): value is number[] {
  return Array.isArray(value) && value.every(Number.isFinite);
}

export const incomingHandler = handler((request) => app.fetch(request));
