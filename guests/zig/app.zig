//! An app for WASI 0.2 in Zig.

const std = @import("std");
const c = @import("exchange");

const Exchange = c.exchange;
const plain = "text/plain; charset=utf-8";
const allocator = std.heap.c_allocator;

export fn handle(x: *Exchange) void {
    answer(x) catch |err| {
        std.debug.print("{s}\n", .{@errorName(err)});
        c.respond(x, 500, plain, "Internal Server Error\n");
    };
}

fn answer(x: *Exchange) !void {
    if (c.is(x, "GET", "/")) {
        c.respond(x, 200, plain, "Hello from Zig!\n");
    } else if (c.is(x, "POST", "/echo")) {
        echo(x);
    } else if (c.is(x, "GET", "/headers")) {
        headers(x);
    } else if (c.is(x, "GET", "/query")) {
        try query(x);
    } else if (c.is(x, "POST", "/json")) {
        try json(x);
    } else if (c.is(x, "GET", "/error")) {
        return error.AskedTo;
    } else {
        c.respond(x, 404, plain, "Not found\n");
    }
}

/// Sends the body back as it comes.
fn echo(x: *Exchange) void {
    const kind = c.field(x, "content-type");
    defer std.c.free(kind);
    c.begin(x, 200, &c.pair{ .name = "content-type", .value = kind orelse "application/octet-stream" }, 1);
    var piece: [16 * 1024]u8 = undefined;
    while (true) {
        const size = c.read_body(x, &piece, piece.len);
        if (size == 0) return c.end(x);
        // What is not ended is cut.
        if (size < 0 or !c.write_body(x, &piece, @intCast(size))) return;
    }
}

fn headers(x: *Exchange) void {
    const question = c.field(x, "x-question");
    defer std.c.free(question);
    const fields = [_]c.pair{
        .{ .name = "x-answer", .value = question orelse "" },
        .{ .name = "set-cookie", .value = "a=1" },
        .{ .name = "set-cookie", .value = "b=2" },
    };
    c.begin(x, 200, &fields, fields.len);
    c.end(x);
}

fn query(x: *Exchange) !void {
    var pairs = std.mem.splitScalar(u8, std.mem.span(c.query(x)), '&');
    while (pairs.next()) |pair| {
        if (!std.mem.startsWith(u8, pair, "name=")) continue;
        const encoded = try allocator.dupe(u8, pair["name=".len..]);
        defer allocator.free(encoded);
        std.mem.replaceScalar(u8, encoded, '+', ' ');
        return greet(x, std.Uri.percentDecodeInPlace(encoded));
    }
    return greet(x, "world");
}

fn greet(x: *Exchange, name: []const u8) !void {
    const text = try std.fmt.allocPrintSentinel(allocator, "Hello, {s}!\n", .{name}, 0);
    defer allocator.free(text);
    c.respond(x, 200, plain, text);
}

fn json(x: *Exchange) !void {
    var body: [16 * 1024]u8 = undefined;
    var size: usize = 0;
    while (size < body.len) {
        const read = c.read_body(x, body[size..].ptr, body.len - size);
        if (read <= 0) break;
        size += @intCast(read);
    }
    const Numbers = struct { numbers: []const i64 };
    const parsed = std.json.parseFromSlice(Numbers, allocator, body[0..size], .{ .ignore_unknown_fields = true }) catch
        return c.respond(x, 400, plain, "numbers is to be a list of whole numbers\n");
    defer parsed.deinit();
    var sum: i64 = 0;
    for (parsed.value.numbers) |number| sum +%= number;
    var text: [32]u8 = undefined;
    c.respond(x, 200, "application/json", try std.fmt.bufPrintSentinel(&text, "{{\"sum\":{d}}}", .{sum}, 0));
}
