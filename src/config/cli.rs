//! The command line.

use std::ffi::OsString;

use clap::builder::Styles;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::layer::{Entry, Layer, Source};
use super::options::{OPTIONS, OptionSpec, Takes};

const AFTER_HELP: &str = "\
Everything can also be said in the environment, as WASGUN_ and the option's name (WASGUN_MAX_CONCURRENCY=64, \
WASGUN_DEMO=true; several values are separated by commas), and in the TOML file (max-concurrency = 64, \
bind = [\":80\", \"unix:/run/app.sock\"], [env] as a table). The command line counts most, then the environment, then \
the file.

TIME is in seconds or has units (0.5, 500ms, 30s, 1h30m). SIZE is in bytes or has a unit (64KiB, 256MiB, 1GB).

Signals: TERM stops gracefully, INT and QUIT at once; HUP reloads, USR2 hands over to a new master, USR1 reopens the \
logs, TTIN and TTOU add and remove a worker. `wasgun ctl` does the same and tells what came of it.";

/// What the command line says; `Err` holds help as well as mistakes.
pub(super) fn parse(args: &[OsString]) -> Result<ArgMatches, clap::Error> {
    // Whatever the link is called that started us, the messages say wasgun.
    let name = OsString::from("wasgun");
    command().try_get_matches_from(std::iter::once(&name).chain(args.iter().skip(1)))
}

/// The whole command line.
fn command() -> Command {
    let options = OPTIONS.iter().map(headed);
    Command::new("wasgun")
        .version(env!("CARGO_PKG_VERSION"))
        .about("A pre-fork application server for WebAssembly components")
        .override_usage(
            "wasgun [OPTIONS] APP\n       wasgun compile APP -o OUT\n       wasgun new TEMPLATE DIR\n       wasgun ctl [--control-socket PATH] COMMAND",
        )
        .after_help(AFTER_HELP)
        .styles(Styles::plain())
        .max_term_width(100)
        // The last of two counts, so that a script's options can be overridden.
        .args_override_self(true)
        .args_conflicts_with_subcommands(true)
        .disable_help_subcommand(true)
        .args(options)
        .subcommand(compile())
        .subcommand(new())
        .subcommand(ctl())
}

/// Under its group's heading; APP stands apart, since clap lists arguments
/// without a dash last within a heading.
fn headed(spec: &'static OptionSpec) -> Arg {
    let arg = argument(spec);
    if spec.is_positional() { arg } else { arg.help_heading(spec.group.title()) }
}

fn compile() -> Command {
    let options = ["middleware", "compile-timeout", "compile-memory", "sandbox"];
    let options = OPTIONS.iter().filter(move |spec| options.contains(&spec.name));
    let output = Arg::new("output").short('o').long("output").value_name("OUT").required(true);
    Command::new("compile")
        .about("Compile a component ahead of time, for --allow-precompiled")
        .styles(Styles::plain())
        .max_term_width(100)
        .args_override_self(true)
        .arg(Arg::new("app").value_name("APP").required(true).help("The component to compile"))
        .arg(output.help("Where the compiled component goes, such as app.cwasm"))
        .args(options.map(argument))
}

fn new() -> Command {
    let template = Arg::new("template").value_name("TEMPLATE").requires("dir");
    Command::new("new")
        .about("Write a project to start from; without arguments, list what there is")
        .styles(Styles::plain())
        .max_term_width(100)
        .arg(template.help("A language or a framework: `wasgun new` lists them"))
        .arg(
            Arg::new("dir")
                .value_name("DIR")
                .help("Where the project goes: a directory that is empty or not there"),
        )
}

fn ctl() -> Command {
    let places = OPTIONS.iter().filter(|spec| matches!(spec.name, "control-socket" | "config"));
    let wait = || Arg::new("wait").long("wait").action(ArgAction::SetTrue);
    let wait = || wait().help("Return when it is done; fail, with the reason, if it is not");
    let order = |name: &'static str, about: &'static str| Command::new(name).about(about);
    let needed = |name: &'static str, shown: &'static str| Arg::new(name).value_name(shown).required(true);
    Command::new("ctl")
        .about("Look after a running server")
        .styles(Styles::plain())
        .max_term_width(100)
        .disable_help_subcommand(true)
        .args(places.map(|spec| argument(spec).global(true)))
        .mut_arg("control-socket", |arg| arg.help("The server's socket, as it was said to the server"))
        .arg(
            Arg::new("json")
                .long("json")
                .global(true)
                .action(ArgAction::SetTrue)
                .help("Print the reply as JSON"),
        )
        .subcommand(order("status", "Show how the server and its workers are"))
        .subcommand(
            order("scale", "Have N workers, until the configuration says otherwise").arg(needed("n", "N")),
        )
        .subcommand(order("reload", "Read configuration and component again, as HUP does").arg(wait()))
        .subcommand(order("rollback", "Go back to the generation before").arg(wait()))
        .subcommand(
            order("upgrade", "Hand over to a new master of the program on disk, as USR2 does").arg(wait()),
        )
        .subcommand(order("recycle", "Replace a worker").arg(needed("pid", "PID")))
        .subcommand(
            order("log-level", "Log more, or less, until the next reload").arg(needed("level", "LEVEL")),
        )
        .subcommand(
            order("stop", "Stop, as TERM does").arg(
                Arg::new("now").long("now").action(ArgAction::SetTrue).help("Cut the requests in flight"),
            ),
        )
}

fn argument(spec: &'static OptionSpec) -> Arg {
    let help = match spec.shown_default() {
        Some(default) => format!("{} [{default}]", spec.help),
        None => spec.help.to_owned(),
    };
    let mut arg = Arg::new(spec.name).help(help);
    if !spec.is_positional() {
        arg = arg.long(spec.name);
    }
    if let Some(short) = spec.short {
        arg = arg.short(short);
    }
    match spec.takes {
        Takes::One => arg.value_name(spec.value),
        // A guest's argument may look like an option of ours.
        Takes::Many(_) => {
            arg.value_name(spec.value).action(ArgAction::Append).allow_hyphen_values(spec.name == "arg")
        }
        Takes::Flag => arg.action(ArgAction::SetTrue),
    }
}

/// What the arguments of a command say.
pub(super) fn layer(matches: &ArgMatches) -> Layer {
    let mut layer = Layer::new();
    for spec in OPTIONS {
        let values: Vec<String> = match spec.takes {
            // Asked for by `try`, because `compile` does not have every option.
            Takes::Flag => {
                let set = matches.try_get_one::<bool>(spec.name).ok().flatten().copied().unwrap_or(false);
                if set { vec!["true".to_owned()] } else { Vec::new() }
            }
            Takes::One | Takes::Many(_) => {
                let found = matches.try_get_many::<String>(spec.name).ok().flatten();
                found.into_iter().flatten().cloned().collect()
            }
        };
        if !values.is_empty() {
            layer.insert(spec.name, Entry { values, source: Source::CommandLine });
        }
    }
    layer
}

/// The text for a command line that ends here: help, or else a mistake.
pub(super) fn text(error: &clap::Error, args: &[OsString]) -> Result<String, String> {
    let is_ctl = args.get(1).is_some_and(|first| first == "ctl");
    let text = error.render().to_string();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Ok(format!("{}\n", text.trim_end())),
        // What looks like a command is a second APP.
        ErrorKind::ArgumentConflict | ErrorKind::InvalidSubcommand | ErrorKind::UnknownArgument
            if let Some(ContextValue::String(second)) = error.get(ContextKind::InvalidSubcommand) =>
        {
            if is_ctl {
                return Err(format!("ctl has no command {second}: `wasgun ctl --help` lists them"));
            }
            Err(format!("one APP only: {second} is a second one"))
        }
        _ => Err(text.strip_prefix("error: ").unwrap_or(&text).trim_end().to_owned()),
    }
}
