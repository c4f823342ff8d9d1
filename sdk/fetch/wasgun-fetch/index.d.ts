/** The export that wasgun calls, under the name `incomingHandler`. */
export interface IncomingHandler {
  handle(request: unknown, responseOut: unknown): Promise<void>;
}

/**
 * Makes an export of a fetch handler:
 *
 *     export const incomingHandler = handler((request) => new Response("Hello!\n"));
 *
 * What `fetch` throws goes to stderr, and the client gets a 500.
 */
export function handler(fetch: (request: Request) => Response | Promise<Response>): IncomingHandler;
