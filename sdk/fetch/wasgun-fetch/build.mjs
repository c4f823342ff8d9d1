#!/usr/bin/env node
// Makes a component of a program: `wasgun-fetch build app.js -o app.wasm`.

import { cp, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { componentize } from "@bytecodealliance/componentize-js";
import * as esbuild from "esbuild";

const USAGE = `usage: wasgun-fetch build FILE -o OUT [--fetch-event]
  FILE exports incomingHandler, by the handler() of wasgun-fetch, in JavaScript or TypeScript
  --fetch-event  FILE listens for fetch events instead: its instances answer one request only`;

// The engine exports the interfaces of this release, by its number alone.
const RELEASE = "0.2.10";

function usage() {
  const options = { output: { type: "string", short: "o" }, "fetch-event": { type: "boolean" } };
  try {
    const { values, positionals } = parseArgs({ options, allowPositionals: true });
    const [command, file, ...others] = positionals;
    if (command === "build" && file && values.output && others.length === 0) return { file, ...values };
  } catch (error) {
    console.error(error.message);
  }
  console.error(USAGE);
  process.exit(2);
}

async function build({ file, output, "fetch-event": isEvent }) {
  const dir = await mkdtemp(join(tmpdir(), "wasgun-fetch-"));
  try {
    const wit = join(dir, "wit");
    await cp(join(import.meta.dirname, "wit"), wit, { recursive: true, dereference: true });
    for (const name of await readdir(wit, { recursive: true })) {
      if (!name.endsWith(".wit")) continue;
      const text = await readFile(join(wit, name), "utf8");
      await writeFile(join(wit, name), text.replaceAll("0.2.12", RELEASE));
    }
    const types = isEvent ? "" : `import wasi:http/types@${RELEASE};`;
    const world = `world app { ${types} export wasi:http/incoming-handler@${RELEASE}; }`;
    await writeFile(join(wit, "world.wit"), `package app:javascript; ${world}`);
    const source = join(dir, "app.js");
    await esbuild.build({
      entryPoints: [file],
      outfile: source,
      bundle: true,
      format: "esm",
      target: "es2022",
      external: ["wasi:*"],
      logLevel: "warning",
    });
    // Without this feature the engine would answer by itself, and only once.
    const disableFeatures = isEvent ? [] : ["fetch-event"];
    const { component } = await componentize({ sourcePath: source, witPath: wit, worldName: "app", disableFeatures });
    await writeFile(output, component);
  } finally {
    await rm(dir, { recursive: true });
  }
}

await build(usage());
