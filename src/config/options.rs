//! What an option is, wherever it is said; the options themselves are in `table`.

pub use super::table::OPTIONS;

/// One option, as it may be said on the command line, in the environment and
/// in the file.
#[derive(Debug, Clone, Copy)]
pub struct OptionSpec {
    /// Name in the file, and on the command line after two dashes.
    pub name: &'static str,
    /// Letter on the command line.
    pub short: Option<char>,
    /// What its value looks like; empty for flags.
    pub value: &'static str,
    /// How many values it takes.
    pub takes: Takes,
    /// The value it has when nothing was said.
    pub default: Option<&'static str>,
    /// What it does, in a sentence or two.
    pub help: &'static str,
    /// Heading it is listed under.
    pub group: Group,
    /// Where it may be said.
    pub place: Place,
}

/// How many values an option takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// A single value; the last one counts.
    One,
    /// Any number of values; in the environment separated by this character.
    Many(char),
    /// None: it is on or off.
    Flag,
}

/// Where an option may be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// On the command line, in the environment, in the file.
    Anywhere,
    /// Not in the file, which it is about.
    NotInFile,
    /// On the command line alone.
    CommandLine,
}

/// Headings of the help, the table and the printed file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the titles say it")]
pub enum Group {
    Application,
    Server,
    Times,
    Http,
    Instances,
    Workers,
    Control,
    Process,
    Logging,
    Compilation,
    Development,
    Configuration,
}

impl Group {
    /// Every group, in the order of the help.
    pub const ALL: [Self; 12] = [
        Self::Application,
        Self::Server,
        Self::Times,
        Self::Http,
        Self::Instances,
        Self::Workers,
        Self::Control,
        Self::Process,
        Self::Logging,
        Self::Compilation,
        Self::Development,
        Self::Configuration,
    ];

    /// The heading.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Application => "Application",
            Self::Server => "Server",
            Self::Times => "Timeouts",
            Self::Http => "HTTP limits",
            Self::Instances => "Instances",
            Self::Workers => "Replacing workers",
            Self::Control => "Control and health",
            Self::Process => "Process",
            Self::Logging => "Logging",
            Self::Compilation => "Compilation",
            Self::Development => "Development",
            Self::Configuration => "Configuration",
        }
    }

    /// Its options.
    pub fn options(self) -> impl Iterator<Item = &'static OptionSpec> {
        OPTIONS.iter().filter(move |spec| spec.group == self)
    }
}

impl OptionSpec {
    /// An option with one value.
    pub(super) const fn one(group: Group, name: &'static str, value: &'static str) -> Self {
        let (takes, place) = (Takes::One, Place::Anywhere);
        Self { name, short: None, value, takes, default: None, help: "", group, place }
    }

    /// An option with many values, in the environment separated by `separator`.
    pub(super) const fn many(group: Group, name: &'static str, value: &'static str, separator: char) -> Self {
        Self { takes: Takes::Many(separator), ..Self::one(group, name, value) }
    }

    /// An option that is on or off.
    pub(super) const fn flag(group: Group, name: &'static str) -> Self {
        Self { takes: Takes::Flag, default: Some("false"), ..Self::one(group, name, "") }
    }

    pub(super) const fn short(self, short: char) -> Self {
        Self { short: Some(short), ..self }
    }

    pub(super) const fn default(self, default: &'static str) -> Self {
        Self { default: Some(default), ..self }
    }

    pub(super) const fn help(self, help: &'static str) -> Self {
        Self { help, ..self }
    }

    pub(super) const fn place(self, place: Place) -> Self {
        Self { place, ..self }
    }

    /// The option called `name`.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        OPTIONS.iter().find(|spec| spec.name == name)
    }

    /// Its environment variable.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("WASGUN_{}", self.name.to_ascii_uppercase().replace('-', "_"))
    }

    /// As the command line has it: `--workers`, or `APP`.
    #[must_use]
    pub fn shown(&self) -> String {
        if self.is_positional() { self.value.to_owned() } else { format!("--{}", self.name) }
    }

    /// Whether the command line has it without its name.
    #[must_use]
    pub fn is_positional(&self) -> bool {
        self.name == "app"
    }

    /// The default worth showing; that a flag is off goes without saying.
    #[must_use]
    pub fn shown_default(&self) -> Option<&'static str> {
        self.default.filter(|_| self.takes != Takes::Flag)
    }
}

/// The options as tables in Markdown, for the README: option, default, meaning.
#[must_use]
pub fn option_table_markdown() -> String {
    let mut text = String::new();
    for group in Group::ALL {
        text.push_str(&format!(
            "### {}\n\n| option | default | meaning |\n| --- | --- | --- |\n",
            group.title()
        ));
        for spec in group.options() {
            let default = spec.shown_default().map_or(String::new(), |value| format!("`{value}`"));
            let row = format!("| `{}` | {default} | {} |\n", usage(spec), plain(spec.help));
            text.push_str(&row);
        }
        text.push('\n');
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

fn usage(spec: &OptionSpec) -> String {
    let short = spec.short.map_or(String::new(), |short| format!("-{short}, "));
    let value = if spec.value.is_empty() || spec.is_positional() {
        String::new()
    } else {
        format!(" {}", spec.value)
    };
    cell(&format!("{short}{}{value}", spec.shown()))
}

/// A bar would end the cell, in code as well as in text.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// Text without emphasis or tags that nobody meant.
fn plain(text: &str) -> String {
    cell(text).replace('*', "\\*").replace('<', "\\<")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_table_is_consistent() {
        let names: BTreeSet<_> = OPTIONS.iter().map(|spec| spec.name).collect();
        assert_eq!(names.len(), OPTIONS.len(), "a name twice");
        let shorts: Vec<_> = OPTIONS.iter().filter_map(|spec| spec.short).collect();
        assert_eq!(shorts.len(), shorts.iter().collect::<BTreeSet<_>>().len(), "a letter twice");
        for spec in OPTIONS {
            assert!(!spec.help.is_empty() && !spec.help.ends_with('.'), "{}", spec.name);
            assert_eq!(spec.value.is_empty(), spec.takes == Takes::Flag, "{}", spec.name);
            assert!(spec.name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{}", spec.name);
        }
        assert_eq!(
            Group::ALL.iter().flat_map(|group| group.options()).count(),
            OPTIONS.len(),
            "a group is not listed"
        );
    }

    #[test]
    fn the_markdown_has_a_row_of_three_cells_for_each_option() {
        let text = option_table_markdown();
        let rows: Vec<_> = text.lines().filter(|line| line.starts_with("| `")).collect();
        assert_eq!(rows.len(), OPTIONS.len());
        for row in rows {
            assert_eq!(row.replace("\\|", "").matches('|').count(), 4, "{row}");
        }
        assert!(text.contains("| `-w, --workers N\\|MIN..MAX\\|auto` | `auto` |"), "{text}");
        assert!(text.contains("| `APP` |  |"), "{text}");
    }
}
