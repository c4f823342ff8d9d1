//! The command line: options of this program, and those that `cargo test` gives
//! to every test program.

/// The name of this program among the tests.
const NAME: &str = "endurance";

/// From so many requests on it is the long form, which judges times too.
const LONG: u64 = 1_000_000;

/// The default of `--requests`, and what the rate is then.
const SHORT: u64 = 100_000;

const KNOWN: &str =
    "  --requests N    requests of the first part at least (100000); from 1000000 on --strict is on
  --rate N        hello requests a second that the clients aim at; 0: as many as they can
  --gunicorn      the same with gunicorn, which pip installs below the target directory
  --strict        what a busy machine may break, such as times, counts too
  --only PARTS    of changes, kills, balance, silence, builds; separated by commas
and, of every test program: [FILTER] --list --exact --skip FILTER --ignored --include-ignored
--nocapture --no-capture --show-output --quiet -q --test-threads N --format F --color C";

/// What a run is to do.
#[derive(Debug, PartialEq)]
pub struct Args {
    pub requests: u64,
    pub rate: u64,
    pub gunicorn: bool,
    pub strict: bool,
    pub only: Vec<String>,
}

/// What the command line asks for.
#[derive(Debug, PartialEq)]
pub enum Asked {
    Run(Args),
    List,
    /// It means other tests.
    Nothing,
}

/// Reads the arguments behind the program's name.
///
/// # Errors
/// A text for who wrote them.
pub fn parse(given: impl Iterator<Item = String>) -> Result<Asked, String> {
    let mut args = Args { requests: SHORT, rate: u64::MAX, gunicorn: false, strict: false, only: Vec::new() };
    let (mut filters, mut skipped) = (Vec::new(), Vec::new());
    let (mut exact, mut list, mut ignored) = (false, false, false);
    let mut given = given;
    while let Some(argument) = given.next() {
        let (name, attached) = match argument.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (name.to_owned(), Some(value.to_owned())),
            _ => (argument, None),
        };
        let takes_a_value = matches!(
            &*name,
            "--requests" | "--rate" | "--only" | "--skip" | "--test-threads" | "--format" | "--color" | "-Z"
        );
        let value = match (takes_a_value, attached) {
            (true, None) => given.next().ok_or_else(|| format!("{name} wants a value"))?,
            (true, Some(value)) => value,
            (false, None) => String::new(),
            (false, Some(_)) => return Err(unknown(&name)),
        };
        match &*name {
            "--requests" => args.requests = number(&name, &value)?,
            "--rate" => args.rate = number(&name, &value)?,
            "--gunicorn" => args.gunicorn = true,
            "--strict" => args.strict = true,
            "--only" => args.only.extend(value.split(',').map(|part| part.trim().to_owned())),
            "--skip" => skipped.push(value),
            "--exact" => exact = true,
            "--list" => list = true,
            "--ignored" => ignored = true,
            "--include-ignored" | "--nocapture" | "--no-capture" | "--show-output" | "--quiet" | "-q"
            | "--test-threads" | "--format" | "--color" | "-Z" => {}
            _ if name.starts_with('-') => return Err(unknown(&name)),
            _ => filters.push(name),
        }
    }
    if let Some(part) = args.only.iter().find(|part| !PARTS.contains(&&***part)) {
        return Err(format!("--only knows no {part:?}, but {}", PARTS.join(", ")));
    }
    args.strict |= args.requests >= LONG;
    let names = |filter: &String| if exact { filter == NAME } else { NAME.contains(filter.as_str()) };
    let wanted = filters.is_empty() || filters.iter().any(names);
    Ok(match () {
        () if !wanted || ignored || skipped.iter().any(names) => Asked::Nothing,
        () if list => Asked::List,
        () => Asked::Run(Args { rate: if args.rate == u64::MAX { rate(&args) } else { args.rate }, ..args }),
    })
}

/// The parts that `--only` chooses from.
const PARTS: [&str; 5] = ["changes", "kills", "balance", "silence", "builds"];

impl Args {
    /// Whether a part is to run.
    pub fn wants(&self, part: &str) -> bool {
        debug_assert!(PARTS.contains(&part), "{part}");
        self.only.is_empty() || self.only.iter().any(|wanted| wanted == part)
    }
}

/// An unoptimized server keeps up with the lower one on half a processor.
fn rate(args: &Args) -> u64 {
    if args.requests >= LONG { 8_000 } else { 3_000 }
}

fn number(name: &str, text: &str) -> Result<u64, String> {
    text.replace('_', "").parse().map_err(|_| format!("{name} wants a number, not {text:?}"))
}

fn unknown(name: &str) -> String {
    format!("unknown option {name}; known are\n{KNOWN}")
}
