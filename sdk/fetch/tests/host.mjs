// Has `wasi:http/types` be a fake, here and in what the tests import.
import { register } from "node:module";

const resolve = `
  export function resolve(specifier, context, next) {
    return specifier.startsWith("wasi:http/types@")
      ? { url: new URL("./types.mjs", ${JSON.stringify(import.meta.url)}).href, shortCircuit: true }
      : next(specifier, context);
  }`;
register(`data:text/javascript,${encodeURIComponent(resolve)}`);
