// A fetch handler, as for a service worker. Its engine takes one request an
// instance, so it cannot be served with --instance-max-requests.
addEventListener("fetch", (event) =>
  event.respondWith(new Response("Hello, world!\n", { headers: { "content-type": "text/plain" } })),
);
