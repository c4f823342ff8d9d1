//! What is asked for after `--`.

use std::path::PathBuf;
use std::time::Duration;

use crate::equipment::root;

const HELP: &str = "\
cargo bench --bench compare -- [--rounds N] [--seconds N] [CASE...]

  --rounds N    turns that each case has (5)
  --seconds N   length of a turn under load (2)
  CASE          measure only cases whose name contains this, whatever its letters' case;
                several add up; --list shows the names
  --list        show the names and end
  --out DIR     write RESULTS.md and results.svg there

With any of these benches/ is left alone; without, RESULTS.md and results.svg are
written there.";

/// Enough for a median; all of it takes about ten minutes.
const ROUNDS: usize = 5;
const SECONDS: u64 = 2;

/// What is to be measured, and for how long.
#[derive(Debug)]
pub struct Args {
    pub rounds: usize,
    pub time: Duration,
    pub list: bool,
    /// All is measured, for long enough.
    pub is_full: bool,
    /// Where the results go; only a full measurement is worth keeping unasked.
    pub out: Option<PathBuf>,
    only: Vec<String>,
}

/// What to do instead of measuring.
#[derive(Debug)]
pub enum Instead {
    /// `cargo test --benches` runs this program without `--bench`.
    Nothing,
    Help(&'static str),
    Mistake(String),
}

impl Args {
    pub fn parse(words: impl Iterator<Item = String>) -> Result<Self, Instead> {
        let mut args = Self {
            rounds: ROUNDS,
            time: Duration::from_secs(SECONDS),
            list: false,
            is_full: true,
            out: None,
            only: Vec::new(),
        };
        let (mut words, mut is_bench) = (words.skip(1), false);
        while let Some(word) = words.next() {
            if word == "--bench" {
                is_bench = true;
                continue;
            }
            args.is_full = false;
            match word.as_str() {
                "--rounds" => args.rounds = number(&word, words.next())? as usize,
                "--seconds" => args.time = Duration::from_secs(number(&word, words.next())?),
                "--out" => args.out = words.next().map(PathBuf::from),
                "--list" => args.list = true,
                "--help" | "-h" => return Err(Instead::Help(HELP)),
                option if option.starts_with('-') => {
                    return Err(Instead::Mistake(format!("there is no {option}\n\n{HELP}")));
                }
                case => args.only.push(case.to_lowercase()),
            }
        }
        if args.is_full {
            args.out = Some(root().join("benches"));
        }
        if is_bench { Ok(args) } else { Err(Instead::Nothing) }
    }

    /// Whether the case of this name is asked for.
    pub fn wants(&self, name: &str) -> bool {
        let name = name.to_lowercase();
        self.only.is_empty() || self.only.iter().any(|part| name.contains(part))
    }
}

fn number(option: &str, value: Option<String>) -> Result<u64, Instead> {
    let number = value.and_then(|value| value.parse().ok()).filter(|number| *number > 0);
    number.ok_or_else(|| Instead::Mistake(format!("{option} takes a number from 1\n\n{HELP}")))
}
