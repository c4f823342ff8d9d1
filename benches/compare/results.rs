//! What was measured, and what was not.

use std::fmt;

use crate::load::Sample;

/// A case with the medians of its rounds.
pub struct Row {
    pub group: &'static str,
    pub server: &'static str,
    pub measured: Measured<Sample>,
}

/// A single figure with the limit that is promised.
pub struct Figure {
    pub name: String,
    pub unit: &'static str,
    pub limit: f64,
    pub measured: Measured<f64>,
}

/// A result, or why there is none.
pub type Measured<T> = Result<T, Missing>;

/// Why something has no result.
#[derive(Debug, Clone)]
pub enum Missing {
    /// It cannot be had on this machine.
    Absent(String),
    /// It ran, and not as it should.
    Failed(String),
}

/// All of a run.
#[derive(Default)]
pub struct Results {
    pub rows: Vec<Row>,
    pub figures: Vec<Figure>,
}

impl Results {
    /// The sample of a case, if it has one.
    pub fn sample(&self, group: &str, server: &str) -> Option<&Sample> {
        let row = self.rows.iter().find(|row| row.group == group && row.server == server);
        row.and_then(|row| row.measured.as_ref().ok())
    }

    /// What has no result, by name, and why.
    pub fn missing(&self) -> impl Iterator<Item = (String, &Missing)> {
        let rows = self
            .rows
            .iter()
            .map(|row| (format!("{}: {}", row.group, row.server), row.measured.as_ref().err()));
        let figures = self.figures.iter().map(|figure| (figure.name.clone(), figure.measured.as_ref().err()));
        rows.chain(figures).filter_map(|(name, missing)| Some((name, missing?)))
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent(why) => write!(f, "not run: {why}"),
            Self::Failed(why) => write!(f, "FAILED: {why}"),
        }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.measured {
            Ok(value) => write!(f, "{} {} {}", self.name, short(*value), self.unit),
            Err(missing) => write!(f, "{} {missing}", self.name),
        }
    }
}

/// The medians of several runs, each figure by itself.
pub fn medians(samples: &[Sample]) -> Sample {
    let of = |figure: fn(&Sample) -> f64| median(samples.iter().map(figure).collect());
    Sample {
        requests_per_second: of(|sample| sample.requests_per_second),
        cpu_micros: of(|sample| sample.cpu_micros),
        p50_micros: of(|sample| sample.p50_micros),
        p99_micros: of(|sample| sample.p99_micros),
        pss_mib: of(|sample| sample.pss_mib),
    }
}

/// The middle one; 0 of none.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

/// A number in three digits or so.
pub fn short(value: f64) -> String {
    match value {
        0.0..10.0 => format!("{value:.2}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => grouped(value),
    }
}

/// A whole number with commas.
fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
