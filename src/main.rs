//! Words into a configuration, and a configuration into processes: the only
//! file that names all of them.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use wasgun::config::{Command, CompileLimits, Config, ControlAction, Invocation, NewProject, Problems};
use wasgun::handoff::MoldSeed;
use wasgun::sys::process;
use wasgun::templates::{self, Template};
use wasgun::{compiler, control, master, mold, worker};

/// What was said makes no sense; nothing was started.
const EXIT_USAGE: u8 = 2;

/// How long a master that is well takes for an answer, and many times that.
const PATIENCE: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    process::forgo_error_backtraces();
    process::hear_of_children();
    let invocation = match Invocation::current() {
        Ok(invocation) => invocation,
        Err(error) => return fail(1, &format!("the current directory cannot be read: {error}")),
    };
    match invocation.resolve() {
        Err(problems) => {
            let text = listed(&problems);
            master::tell_predecessor(&invocation, &text);
            fail(EXIT_USAGE, &text)
        }
        Ok(Command::Message(text) | Command::PrintConfig(text)) => {
            say(&text);
            ExitCode::SUCCESS
        }
        Ok(Command::CheckConfig(_)) => {
            say("the configuration holds\n");
            ExitCode::SUCCESS
        }
        Ok(Command::Compile { app, middleware, out, limits }) => compile(&app, &middleware, &out, &limits),
        Ok(Command::New(None)) => {
            say(&templates::list());
            ExitCode::SUCCESS
        }
        Ok(Command::New(Some(project))) => begin(&project),
        Ok(Command::Control { socket, action, json }) => order(&socket, &action, json),
        Ok(Command::Serve(config)) => serve(invocation, *config),
    }
}

fn serve(invocation: Invocation, config: Config) -> ExitCode {
    let roles =
        master::Roles { compiler: compiler::run, mold: |seed: MoldSeed| mold::run(seed, worker::run) };
    match master::run(invocation, config, roles) {
        Ok(code) => ExitCode::from(code),
        Err(error) => fail(1, &format!("{error:#}")),
    }
}

fn compile(app: &Path, middleware: &[PathBuf], out: &Path, limits: &CompileLimits) -> ExitCode {
    match compiler::compile_to_file(app, middleware, out, limits) {
        Ok(()) => {
            say(&format!("compiled {} to {}\n", app.display(), out.display()));
            ExitCode::SUCCESS
        }
        Err(error) => fail(1, &format!("{error:#}")),
    }
}

/// Writes a project, and says how to go on.
fn begin(project: &NewProject) -> ExitCode {
    let Some(template) = Template::find(&project.template) else {
        return fail(EXIT_USAGE, &templates::unknown(&project.template));
    };
    match template.write(&project.dir) {
        Ok(()) => {
            let commands = template.commands().join("\n    ");
            let dir = project.dir.display().to_string();
            say(&format!("{dir} is ready, and its README.md says more:\n\n"));
            // As a shell reads it, whatever is in it.
            let quoted = format!("'{}'", dir.replace('\'', r"'\''"));
            let is_plain = dir.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-".contains(&b));
            say(&format!("    cd {}\n    {commands}\n", if is_plain { &dir } else { &quoted }));
            ExitCode::SUCCESS
        }
        Err(error) => fail(1, &format!("{error:#}")),
    }
}

/// Asks a running server for something, and tells what came of it.
fn order(socket: &Path, action: &ControlAction, json: bool) -> ExitCode {
    let reply = match control::call(socket, action, (!action.waits()).then_some(PATIENCE)) {
        Ok(reply) => reply,
        Err(error) => return fail(1, &format!("{error:#}")),
    };
    if json {
        say(&format!("{}\n", reply.to_json()));
    } else if let Some(status) = &reply.status {
        say(&control::table(status));
    } else if let Some(message) = &reply.message {
        say(&format!("{message}\n"));
    }
    match reply.error.filter(|_| !reply.ok) {
        Some(_) if json => ExitCode::FAILURE,
        // It may repeat what a component has said.
        Some(error) => fail(1, &error.replace(|c: char| c.is_control() && c != '\n', "?")),
        None => ExitCode::SUCCESS,
    }
}

/// One mistake as it is, several as a list.
fn listed(problems: &Problems) -> String {
    let text = problems.to_string();
    match problems.0.len() {
        1 => text,
        count => format!("{count} mistakes:\n  {}", text.trim_end().replace('\n', "\n  ")),
    }
}

/// Nobody may be listening, as behind `| head`.
fn say(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

fn fail(code: u8, text: &str) -> ExitCode {
    eprintln!("wasgun: {}", text.trim_end());
    ExitCode::from(code)
}
