// Makes a component of app.js: `node build.mjs OUT`.
import { componentize } from "@bytecodealliance/componentize-js";
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

const [out] = process.argv.slice(2);
const here = import.meta.dirname;

// The engine exports the interfaces of 0.2.10, by that number alone.
const wit = await mkdtemp(join(tmpdir(), "wit-"));
try {
  await cp(join(here, "../../wit/0.2"), wit, { recursive: true });
  for (const file of await readdir(wit, { recursive: true })) {
    if (!file.endsWith(".wit")) continue;
    const text = await readFile(join(wit, file), "utf8");
    await writeFile(join(wit, file), text.replaceAll("0.2.12", "0.2.10"));
  }
  // What it imports beside it brings along.
  await writeFile(
    join(wit, "world.wit"),
    "package guest:javascript; world app { export wasi:http/incoming-handler@0.2.10; }",
  );
  const { component } = await componentize({ sourcePath: join(here, "app.js"), witPath: wit, worldName: "app" });
  await writeFile(out, component);
} finally {
  await rm(wit, { recursive: true });
}
