//! Ways out of a directory.

use wasip2::filesystem::preopens::get_directories;
use wasip2::filesystem::types::{Descriptor, DescriptorFlags, OpenFlags, PathFlags};

use crate::exchange::{Reply, Request};

const OUTSIDE: [&str; 12] = [
    "..",
    "../secret",
    "../../../../../../etc/passwd",
    "/etc/passwd",
    "./../secret",
    "sub/../../secret",
    "link",
    "dirlink/secret",
    "absolute",
    "loop",
    "made-link",
    "hard-link",
];

/// A line for each way: what came of it.
pub fn escape(_: Request, reply: Reply) {
    let mut lines = String::new();
    for (dir, name) in get_directories() {
        let made = dir.symlink_at("../secret", "made-link");
        lines.push_str(&format!("{name}: symlink: {made:?}\n"));
        let made = dir.link_at(PathFlags::SYMLINK_FOLLOW, "link", &dir, "hard-link");
        lines.push_str(&format!("{name}: hard link: {made:?}\n"));
        let moved = dir.rename_at("inside", &dir, "../outside");
        lines.push_str(&format!("{name}: rename: {moved:?}\n"));
        for path in OUTSIDE {
            for follow in [PathFlags::SYMLINK_FOLLOW, PathFlags::empty()] {
                let what = read(&dir, path, follow);
                lines.push_str(&format!("{name}: {path}: {what}\n"));
            }
        }
    }
    reply.text(200, &lines);
}

fn read(dir: &Descriptor, path: &str, follow: PathFlags) -> String {
    let file = match dir.open_at(follow, path, OpenFlags::empty(), DescriptorFlags::READ) {
        Ok(file) => file,
        Err(error) => return format!("refused: {error:?}"),
    };
    match file.read(16, 0) {
        Ok((bytes, _)) => format!("READ {:?}", String::from_utf8_lossy(&bytes)),
        Err(error) => format!("OPENED, {error:?}"),
    }
}

pub fn write(request: Request, reply: Reply) {
    let path = request.target.text("path").unwrap_or_default();
    for (dir, name) in get_directories() {
        let Some(rest) = path.strip_prefix(&format!("{name}/")) else { continue };
        let opened = dir.open_at(PathFlags::empty(), rest, OpenFlags::CREATE, DescriptorFlags::WRITE);
        return reply.text(200, &format!("{:?}\n", opened.and_then(|file| file.write(b"written", 0))));
    }
    reply.text(200, "no such directory\n");
}
