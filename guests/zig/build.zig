const std = @import("std");

pub fn build(b: *std.Build) void {
    const target = b.resolveTargetQuery(.{ .cpu_arch = .wasm32, .os_tag = .wasi });
    const optimize = b.standardOptimizeOption(.{ .preferred_optimize_mode = .ReleaseSmall });
    const exchange = b.addTranslateC(.{
        .root_source_file = b.path("exchange.h"),
        .target = target,
        .optimize = optimize,
    });
    const module = b.createModule(.{
        .root_source_file = b.path("app.zig"),
        .target = target,
        .optimize = optimize,
        .link_libc = true,
        .strip = true,
        .imports = &.{.{ .name = "exchange", .module = exchange.createModule() }},
    });
    module.addCSourceFiles(.{ .files = &.{ "exchange.c", "gen/app.c" } });
    module.addObjectFile(b.path("gen/app_component_type.o"));
    const core = b.addExecutable(.{ .name = "core", .root_module = module });
    core.wasi_exec_model = .reactor;
    core.stack_size = 128 * 1024;

    const new = b.addSystemCommand(&.{ "wasm-tools", "component", "new" });
    new.addArtifactArg(core);
    new.addArg("--adapt");
    new.addFileArg(b.path("wasi_snapshot_preview1.reactor.wasm"));
    new.addArg("-o");
    const app = new.addOutputFileArg("app.wasm");
    b.getInstallStep().dependOn(&b.addInstallFile(app, "app.wasm").step);
}
