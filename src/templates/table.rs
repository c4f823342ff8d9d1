//! What there is to start from. A test compares it with the folders.

use super::{File, Template};

/// Files of a folder, by their paths in it.
macro_rules! files {
    ($folder:literal: $($path:literal)*) => {
        &[$(($path, include_bytes!(concat!("../../", $folder, "/", $path)) as &[u8])),*]
    };
}

/// A folder of guests/, with the folders that are links there.
macro_rules! template {
    ($name:literal, $about:literal, [$($path:literal)*] $(, $folder:literal => $shared:ident)*) => {
        Template {
            name: $name,
            about: $about,
            own: &[$(($path, include_bytes!(concat!("../../guests/", $name, "/", $path)) as &[u8])),*],
            shared: &[$(($folder, $shared)),*],
        }
    };
}

const WORLD_02: &[File] = files!("wit/0.2": "world.wit");
const DEPS_02: &[File] = files!("wit/0.2/deps": "cli.wit" "clocks.wit" "filesystem.wit" "http.wit" "io.wit"
    "random.wit" "sockets.wit");
const WORLD_03: &[File] = files!("wit/0.3": "world.wit");
const DEPS_03: &[File] = files!("wit/0.3/deps": "cli.wit" "clocks.wit" "filesystem.wit" "http.wit" "random.wit"
    "sockets.wit");
const BINDINGS: &[File] = files!("guests/c/gen": "app.c" "app.h" "app_component_type.o");
const NETHTTP: &[File] = files!("sdk/nethttp/wasihttp":
    "component.go" "go.mod" "internal/adapter/adapter.go"
    "internal/bindings/wasi_clocks_monotonic_clock/empty.s"
    "internal/bindings/wasi_clocks_monotonic_clock/wit_bindings.go"
    "internal/bindings/wasi_http_types/empty.s" "internal/bindings/wasi_http_types/wit_bindings.go"
    "internal/bindings/wasi_io_error/empty.s" "internal/bindings/wasi_io_error/wit_bindings.go"
    "internal/bindings/wasi_io_poll/empty.s" "internal/bindings/wasi_io_poll/wit_bindings.go"
    "internal/bindings/wasi_io_streams/empty.s" "internal/bindings/wasi_io_streams/wit_bindings.go"
    "native.go" "third_party/pkg/LICENSE" "third_party/pkg/README.md" "third_party/pkg/go.mod"
    "third_party/pkg/wit/async/async.go" "third_party/pkg/wit/async/empty.s"
    "third_party/pkg/wit/runtime/empty.s" "third_party/pkg/wit/runtime/runtime.go"
    "third_party/pkg/wit/types/future.go" "third_party/pkg/wit/types/option.go"
    "third_party/pkg/wit/types/result.go" "third_party/pkg/wit/types/stream.go"
    "third_party/pkg/wit/types/tuple.go" "third_party/pkg/wit/types/unit.go" "wasihttp.go");
const ASGI: &[File] = files!("sdk/asgi/wasgun_asgi": "__init__.py" "_exchange.py" "_lifespan.py" "_loop.py"
    "_missing.py" "_scope.py");
const WSGI: &[File] = files!("sdk/wsgi/wasgun_wsgi": "__init__.py" "_environ.py" "_host.py" "_reply.py");
const FETCH: &[File] = files!("sdk/fetch/wasgun-fetch": "build.mjs" "index.d.ts" "index.js" "package.json");

/// In the order in which they are listed.
pub(super) const TEMPLATES: &[Template] = &[
    template!("rust", "Rust on the bindings of WASI 0.2",
        [".gitignore" "Cargo.lock" "Cargo.toml" "README.md" "src/exchange.rs" "src/lib.rs"]),
    template!("rust-p3", "Rust for WASI 0.3, async, with the types of the crate http",
        [".gitignore" "Cargo.lock" "Cargo.toml" "README.md" "src/lib.rs"]),
    template!("rust-wstd", "Rust with wstd, the async standard library for WASI 0.2",
        [".gitignore" "Cargo.lock" "Cargo.toml" "README.md" "src/main.rs"]),
    template!("javascript", "JavaScript without a framework",
        [".gitignore" ".npmrc" "README.md" "app.js" "package.json"],
        "wasgun-fetch" => FETCH, "wasgun-fetch/wit" => WORLD_02, "wasgun-fetch/wit/deps" => DEPS_02),
    template!("typescript", "TypeScript with Hono, or another framework that has a fetch",
        [".gitignore" ".npmrc" "README.md" "app.ts" "package.json" "tsconfig.json"],
        "wasgun-fetch" => FETCH, "wasgun-fetch/wit" => WORLD_02, "wasgun-fetch/wit/deps" => DEPS_02),
    template!("quickjs", "JavaScript on a small engine, for WASI 0.3",
        [".gitignore" ".npmrc" "README.md" "app.js" "exchange.js" "package.json" "wit/world.wit"],
        "wit/deps" => DEPS_03),
    template!("flask", "Python with Flask, as it is for every WSGI server",
        [".gitignore" "README.md" "app.py" "handler.py" "requirements.txt"],
        "wit" => WORLD_02, "wit/deps" => DEPS_02, "wasgun_wsgi" => WSGI),
    template!("starlette", "Python with Starlette, as it is for every ASGI server, for WASI 0.3",
        [".gitignore" "README.md" "app.py" "handler.py" "requirements.txt"],
        "wit" => WORLD_03, "wit/deps" => DEPS_03, "wasgun_asgi" => ASGI),
    template!("fastapi", "Python with FastAPI, for WASI 0.3",
        [".gitignore" "README.md" "app.py" "handler.py" "requirements.txt"],
        "wit" => WORLD_03, "wit/deps" => DEPS_03, "wasgun_asgi" => ASGI),
    template!("python", "Python without a framework",
        [".gitignore" "README.md" "app.py" "bodies.py"],
        "wit" => WORLD_02, "wit/deps" => DEPS_02),
    template!("go", "Go with net/http",
        [".gitignore" "Makefile" "README.md" "go.mod" "main.go" "wasi_snapshot_preview1.reactor.wasm"
         "wit/world.wit"],
        "wasihttp" => NETHTTP, "wit/deps" => DEPS_02),
    template!("c", "C with WASI's C library",
        [".gitignore" "Makefile" "README.md" "app.c" "exchange.c" "exchange.h"
         "wasi_snapshot_preview1.reactor.wasm" "wit/world.wit"],
        "gen" => BINDINGS, "wit/deps" => DEPS_02),
    template!("zig", "Zig",
        [".gitignore" "README.md" "app.zig" "build.zig" "exchange.c" "exchange.h"
         "wasi_snapshot_preview1.reactor.wasm"],
        "gen" => BINDINGS),
    template!("wat", "WebAssembly text, by hand: no toolchain at all", [".gitignore" "README.md" "app.wat"]),
];
