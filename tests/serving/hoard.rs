//! A guest that looks for what earlier requests left, and leaves all it can.

use nix::libc;
use nix::sys::socket::{setsockopt, sockopt};

use super::NO_HURRY;
use super::support::client::{Connection, Response};
use super::support::{Server, file, wasgun};

/// What it leaves: eight bytes that a header field may carry, and that no part of the
/// component has.
const SECRET: u64 = u64::from_le_bytes(*b"hoarded!");

/// The content of its memory, from `CONTENT` on: it ends amid a page.
const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;
const CONTENT: u64 = 0x1000;
const LENGTH: u64 = 20 * 4096 + 264;

/// Elements of its table: more than a page of them.
const ELEMENTS: u32 = 2000;

/// Pages of 64 KiB of its memory. Every other page of 4 KiB makes 640 places that are written to.
pub const PAGES: u32 = 80;

/// The largest memory that is quick to look through, again and again.
pub const FEW_PAGES: u32 = 2;

/// Where its instances have their memory from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// The host, which put the content of the component aside.
    Snapshot,
    /// The runtime, since there are two memories.
    Runtime,
    /// The host, which puts the whole instance back: it has nothing that changes tables.
    Rewound,
    /// The host, which does not put the instance back: it has asked for something
    /// while it was made.
    Asking,
    /// The host, which must not believe functions that call themselves its own.
    Posing,
}

impl Memory {
    pub const ALL: [Self; 5] = [Self::Snapshot, Self::Runtime, Self::Rewound, Self::Asking, Self::Posing];

    /// Whether its instances change their tables and drop their segments.
    pub fn changes_tables(self) -> bool {
        !matches!(self, Self::Rewound | Self::Asking)
    }
}

/// What it is to do once it has looked.
#[derive(Debug, Clone, Copy)]
pub struct Ask {
    /// Pages of 4 KiB from one that it fills to the next.
    pub stride: u32,
    /// Pages of 64 KiB that its memory grows by.
    pub grow: u32,
    /// Elements that its table grows by.
    pub lengthen: u32,
    /// Whether its passive segments go.
    pub drop: bool,
    /// Resources of the host that it never gives back.
    pub leak: u32,
    pub act: Act,
}

/// How it goes on.
#[derive(Debug, Clone, Copy)]
pub enum Act {
    Answer,
    TrapAmid,
    SpinAmid,
    ReadBeyond,
    AnswerAndSpin,
}

impl Default for Ask {
    fn default() -> Self {
        Self { stride: 1, grow: 0, lengthen: 0, drop: false, leak: 1, act: Act::Answer }
    }
}

impl Ask {
    /// Next to nothing.
    pub fn little() -> Self {
        Self { stride: u32::MAX, ..Self::default() }
    }

    pub fn path(&self) -> String {
        let Self { stride, grow, lengthen, drop, leak, act } = *self;
        format!("/{stride}/{grow}/{lengthen}/{}/{leak}/{}/", u8::from(drop), act as u8)
    }
}

/// What it has found, in the order of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Words of memory that hold the secret.
    pub secrets: u32,
    /// Words of memory that are otherwise not as at first.
    pub strangers: u32,
    /// Globals that are not as at first, a bit each.
    pub globals: u32,
    /// Elements of the table that are not as at first.
    pub elements: u32,
    pub pages: u32,
    pub table: u32,
    /// 1 if the passive segments are what they should be; it traps where one is gone.
    pub segments: u32,
    /// Words that were not zero when the memory had grown.
    pub in_grown: u32,
    /// What `memory.grow` said, and `table.grow`.
    pub grown: i32,
    pub lengthened: i32,
    /// The first handle that it got.
    pub handle: u32,
}

impl Found {
    pub fn read(body: &[u8]) -> Self {
        let (words, []) = body.as_chunks() else { panic!("cut: {body:?}") };
        let words: Vec<_> = words.iter().map(|word| u32::from_le_bytes(*word)).collect();
        let Ok(
            [
                secrets,
                strangers,
                globals,
                elements,
                pages,
                table,
                segments,
                in_grown,
                grown,
                lengthened,
                handle,
            ],
        ) = <[u32; 11]>::try_from(words)
        else {
            panic!("another answer: {body:?}")
        };
        let (grown, lengthened) = (grown.cast_signed(), lengthened.cast_signed());
        Self {
            secrets,
            strangers,
            globals,
            elements,
            pages,
            table,
            segments,
            in_grown,
            grown,
            lengthened,
            handle,
        }
    }
}

/// A server for it, with one worker.
pub struct Hoard {
    pub server: Server,
    /// What its first instance has found.
    pub fresh: Found,
    connection: Connection,
}

impl Hoard {
    #[track_caller]
    pub fn start(memory: Memory, pages: u32, args: &[&str]) -> Self {
        Self::start_with("exec", memory, pages, args)
    }

    /// With less address space than a pool takes, and enough for one memory.
    #[track_caller]
    pub fn start_cramped(memory: Memory, pages: u32, args: &[&str]) -> Self {
        Self::start_with("ulimit -v 8388608 && exec", memory, pages, args)
    }

    #[track_caller]
    fn start_with(prefix: &str, memory: Memory, pages: u32, args: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = file(dir.path(), "hoard.wat", component(memory, pages).as_bytes());
        let mut command = std::process::Command::new("sh");
        let of_wasgun = wasgun();
        command.arg("-c").arg(format!("{prefix} \"$0\" \"$@\"")).arg(of_wasgun.get_program());
        command.arg(path).args(["--bind", "127.0.0.1:0", "-w", "1", "--queue-timeout", "1h"]);
        // One after the other, however an earlier one has ended; unless `args` says otherwise.
        command.args([&["--max-concurrency", "1"], &NO_HURRY[..]].concat()).args(args);
        for (name, value) in of_wasgun.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let server = Server::spawn(command);
        let mut connection = Connection::open(&server.address);
        let fresh = Found::read(&connection.get(&Ask::default().path()).unwrap().body);
        let expected = Found {
            secrets: 0,
            strangers: 0,
            globals: 0,
            elements: 0,
            pages,
            table: ELEMENTS,
            segments: 1,
            in_grown: 0,
            grown: pages.cast_signed(),
            lengthened: ELEMENTS.cast_signed(),
            handle: fresh.handle,
        };
        assert_eq!(fresh, expected, "the first instance");
        Self { server, fresh, connection }
    }

    /// On a connection that stays open.
    #[track_caller]
    pub fn get(&mut self, ask: Ask) -> Response {
        self.connection.get(&ask.path()).unwrap()
    }

    #[track_caller]
    pub fn find(&mut self, ask: Ask) -> Found {
        let response = self.get(ask);
        assert_eq!(response.status, 200, "{ask:?}: {}", response.text());
        Found::read(&response.body)
    }

    /// Whoever answers finds what the first one found.
    #[track_caller]
    pub fn assert_fresh(&mut self, ask: Ask) {
        assert_eq!(self.find(ask), self.fresh, "before {ask:?}");
    }

    /// Asks on a connection of its own, for an answer that has no end.
    pub fn begin(&self, ask: Ask) -> Connection {
        let mut connection = Connection::open(&self.server.address);
        connection.send(format!("GET {} HTTP/1.1\r\nhost: test\r\n\r\n", ask.path())).unwrap();
        connection
    }
}

/// Goes away in a way that the server cannot take for the end of the request alone.
pub fn reset(connection: Connection) {
    let at_once = libc::linger { l_onoff: 1, l_linger: 0 };
    setsockopt(connection.socket(), sockopt::Linger, &at_once).unwrap();
    drop(connection);
}

/// What it does with tables and segments, if it does.
const CHANGES_TABLES: &str = r#"
    (func $fill-table (table.fill $table (i32.const 0) (ref.func $secret) (table.size $table)))
    (func $elements-are-spare (result i32)
      (table.init $table $spare-functions (i32.const 9) (i32.const 0) (i32.const 1))
      (i64.eq (call_indirect $table (type $word) (i32.const 9)) (i64.const 7)))
    (func (export "drop") (data.drop $spare-bytes) (elem.drop $spare-functions))
    (func (export "lengthen") (param $elements i32) (result i32)
      (table.grow $table (ref.func $secret) (local.get $elements)))"#;
/// What it does instead; and it begins with work of its own, whose outcome has to stay.
const LEAVES_TABLES: &str = r#"
    (func $fill-table)
    (func $elements-are-spare (result i32) (i32.const 1))
    (func (export "drop"))
    (func (export "lengthen") (param i32) (result i32) (table.size $table))
    (func $begin
      (global.set $i64 (i64.const 64))
      (i64.store (i32.const {BEGUN}) (i64.mul (i64.const {BEGUN}) (i64.const {FACTOR}))))
    (start $begin)"#;

/// A module that does so.
const ASKS: &str = r#"
  (core func $early-fields (canon lower (func $http "[constructor]fields")))
  (core func $early-drop (canon resource.drop $fields))
  (core module $Asks
    (import "host" "fields" (func $fields (result i32)))
    (import "host" "drop" (func $drop (param i32)))
    (func $ask (call $drop (call $fields)))
    (start $ask))
  (core instance (instantiate $Asks
    (with "host" (instance (export "fields" (func $early-fields)) (export "drop" (func $early-drop))))))"#;

/// Functions with the names of those that the host adds, which do nothing.
const POSES: &str = r#"
  (core module $Poses
    (func (export "save"))
    (func (export "rewind") (param i32 i32 i32) (result i32) (i32.const {PAGES})))
  (core instance $poses (instantiate $Poses))
  (func $save (canon lift (core func $poses "save")))
  (func $rewind (param "handles" u32) (param "request" u32) (param "fields" u32) (result u32)
    (canon lift (core func $poses "rewind")))
  (export "wasgun-save" (func $save))
  (export "wasgun-rewind" (func $rewind))"#;

/// A word of the content that is only there once it has begun.
const BEGUN: u64 = CONTENT + 5 * 4096;

/// hello.wat, with another middle.
fn component(memory: Memory, pages: u32) -> String {
    let hello = include_str!("../../guests/hello.wat");
    let (begin, _) = hello.split_once("  ;; ---- The memory").expect("its imports come first");
    let end = &hello[hello.find("  (func $handle (param \"request\"").expect("its export comes last")..];
    let another = match memory {
        Memory::Runtime => "(core module (memory 1))",
        Memory::Snapshot | Memory::Rewound => "",
        Memory::Asking => ASKS,
        Memory::Posing => POSES,
    };
    let begins = !memory.changes_tables();
    let (tables, i64) = if begins { (LEAVES_TABLES, 0) } else { (CHANGES_TABLES, 64) };
    let word = |at: u64| if begins && at == BEGUN { 0 } else { at.wrapping_mul(FACTOR) };
    let content: String = (CONTENT..CONTENT + LENGTH)
        .step_by(8)
        .flat_map(|at| word(at).to_le_bytes())
        .map(|byte| format!("\\{byte:02x}"))
        .collect();
    let middle = include_str!("hoard.wat")
        .replace("{TABLES}", tables)
        .replace("{ANOTHER}", another)
        .replace("{I64}", &i64.to_string())
        .replace("{BEGUN}", &BEGUN.to_string())
        .replace("{SECRET}", &SECRET.to_string())
        .replace("{FACTOR}", &FACTOR.to_string())
        .replace("{LENGTH}", &LENGTH.to_string())
        .replace("{CONTENT}", &content)
        .replace("{PAGES}", &pages.to_string())
        .replace("{ELEMENTS}", &ELEMENTS.to_string());
    [begin, &middle, end].concat()
}
