//! `wasgun ctl`: what a running server is asked for, and where it is.

use clap::ArgMatches;

use super::layer::Source;
use super::operation::control_socket;
use super::reader::Reader;
use super::resolve::Problem;
use super::values::number_in;
use super::{Command, ControlAction, Problems, cpus};

/// The order that the command line gives.
pub(super) fn order(mut reader: Reader, matches: &ArgMatches) -> Result<Command, Problems> {
    // What is wrong with the rest of the configuration is the server's affair.
    reader.problems.retain(|problem| {
        // Without a name it is about a file that cannot be read as a whole.
        matches!(problem.option.as_str(), "control-socket" | "config" | "")
    });
    let socket = control_socket(&mut reader);
    if socket.is_none() && reader.problems.is_empty() {
        reader.wrong(
            "control-socket",
            "nothing says where the server's socket is: say --control-socket PATH as it was said to the server, or \
             run this where a wasgun.toml says it",
        );
    }
    let action = action(matches).map_err(|message| {
        reader.problems.push(Problem::new("", Source::CommandLine, message));
    });
    match (socket, action) {
        (Some(socket), Ok(action)) if reader.problems.is_empty() => {
            Ok(Command::Control { socket: socket.path, action, json: matches.get_flag("json") })
        }
        _ => Err(Problems(reader.problems)),
    }
}

fn action(matches: &ArgMatches) -> Result<ControlAction, String> {
    let (name, matches) = matches.subcommand().ok_or("say what to do, as in `wasgun ctl status`")?;
    let text = |id: &str| matches.get_one::<String>(id).cloned().unwrap_or_default();
    let flag = |id: &str| matches.get_flag(id);
    Ok(match name {
        "scale" => ControlAction::Scale {
            workers: number_in("workers", 1..=cpus::MOST_WORKERS)(&text("n"))? as usize,
        },
        "reload" => ControlAction::Reload { wait: flag("wait") },
        "rollback" => ControlAction::Rollback { wait: flag("wait") },
        "upgrade" => ControlAction::Upgrade { wait: flag("wait") },
        "recycle" => {
            let pid = text("pid");
            let number = pid.parse().ok().filter(|number| *number > 0);
            ControlAction::Recycle {
                pid: number.ok_or_else(|| format!("{pid:?} is not the id of a process"))?,
            }
        }
        "log-level" => ControlAction::LogLevel { level: text("level") },
        "stop" => ControlAction::Stop { now: flag("now") },
        _ => ControlAction::Status,
    })
}
