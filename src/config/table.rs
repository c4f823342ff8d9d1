//! Every option, once.

use super::options::Group::{
    Application, Compilation, Configuration, Control, Development, Http, Instances, Logging, Process, Server,
    Times, Workers,
};
use super::options::{OptionSpec, Place};

/// Every option there is, in the order of the help.
pub const OPTIONS: &[OptionSpec] = &[
    // Application
    OptionSpec::one(Application, "app", "APP").help(
        "The component to serve: a .wasm or .wat file, or a .cwasm one with \
             --allow-precompiled",
    ),
    OptionSpec::flag(Application, "demo").help("Serve the component embedded in this program instead of APP"),
    OptionSpec::many(Application, "middleware", "FILE", ',').help(
        "Put a component in front of the app that takes its requests and hands them on, such as one \
             that checks who asks; repeatable, the first one is asked first",
    ),
    OptionSpec::many(Application, "env", "NAME=VALUE", '\n').help(
        "Set an environment variable of the guest, which inherits none; repeatable. What the \
             file, WASGUN_ENV (one a line) and the command line say adds up",
    ),
    OptionSpec::many(Application, "env-file", "FILE", ',').help(
        "Read environment variables of the guest from a file of NAME=VALUE lines; --env wins \
             over it; repeatable",
    ),
    OptionSpec::many(Application, "dir", "HOST::GUEST[:rw]", ',').help(
        "Let the guest read the directory HOST as the absolute path GUEST, and with :rw write \
             to it too; HOST alone keeps its path; repeatable",
    ),
    OptionSpec::many(Application, "arg", "TEXT", '\n')
        .help("Pass an argument to the guest; repeatable (WASGUN_ARG: one a line)"),
    OptionSpec::many(Application, "allow-outbound", "HOST[:PORT]", ',').help(
        "Let the guest send requests to a host: a name, *.example.com (its subdomains), an \
             address, a network such as 10.0.0.0/8, or * for all; repeatable, also with commas. \
             Without it the guest reaches nothing; addresses that are not public (loopback, \
             private, link-local and such) it reaches only where an address, a network or \
             localhost allows them, whatever name leads there",
    ),
    OptionSpec::one(Application, "outbound-connections", "N")
        .default("64")
        .help("Connections that a worker has open for the guest's requests at most"),
    OptionSpec::one(Application, "outbound-requests", "N")
        .default("128")
        .help("Requests of the guest that a worker has on their way at most; one more fails"),
    OptionSpec::one(Application, "outbound-rate", "N|none")
        .default("none")
        .help("Requests that a worker sends for the guest in a second at most; one more fails"),
    // Server
    OptionSpec::many(Server, "bind", "ADDRESS", ',').short('b').default("127.0.0.1:8000").help(
        "Listen on HOST:PORT, [IPV6]:PORT, :PORT (all IPv4 interfaces), unix:PATH, fd://N or, by \
             the name that systemd has for a socket, fd://NAME; repeatable. The default is what \
             systemd hands over, else 0.0.0.0:$PORT when that variable is set",
    ),
    OptionSpec::one(Server, "workers", "N|MIN..MAX|auto").short('w').default("auto").help(
        "Worker processes; auto means one for each CPU this process may use, MIN..MAX as many \
             as the load asks for. When the variable WEB_CONCURRENCY is set it is the default",
    ),
    OptionSpec::one(Server, "max-concurrency", "N")
        .default("128")
        .help("Requests a worker has in flight at most"),
    OptionSpec::one(Server, "queue", "N")
        .default("128")
        .help("Requests that may wait in a worker for one of these to end; one more is refused at once"),
    OptionSpec::one(Server, "max-connections", "N").default("16384").help(
        "Connections a worker has open at most; for another one the connection that has been \
             idle for longest is closed",
    ),
    OptionSpec::one(Server, "backlog", "N").default("2048").help("Connections that may wait to be accepted"),
    // Times
    OptionSpec::one(Times, "request-timeout", "TIME")
        .default("30s")
        .help("Time the guest has for a request, response body included, computing or waiting"),
    OptionSpec::one(Times, "post-return-timeout", "TIME")
        .default("30s")
        .help("Time the guest may go on for after its response is complete"),
    OptionSpec::one(Times, "cpu-limit", "TIME|none")
        .default("none")
        .help("Processor time that a request may use, the making of its instance included"),
    OptionSpec::one(Times, "header-timeout", "TIME")
        .default("10s")
        .help("Time a client has to send the head of a request"),
    OptionSpec::one(Times, "body-timeout", "TIME").default("20s").help(
        "Time a client may have the server wait for the body of its request, all in all; what it \
             sends at --min-rate adds to that",
    ),
    OptionSpec::one(Times, "write-timeout", "TIME").default("60s").help(
        "Time a client may have its response wait, all in all; what it takes at --min-rate adds \
             to that",
    ),
    OptionSpec::one(Times, "min-rate", "SIZE|none").default("500").help(
        "Bytes a second that earn a client more time to send a body or to take a response; with \
             none each byte does, so that these times are for silence",
    ),
    OptionSpec::one(Times, "keep-alive", "TIME").default("75s").help(
        "Time an idle connection is kept for its next request; 0 closes it after each \
             response",
    ),
    OptionSpec::one(Times, "queue-timeout", "TIME")
        .default("1s")
        .help("Time a request waits for a place among --max-concurrency before it is refused"),
    OptionSpec::one(Times, "shutdown-delay", "TIME")
        .default("0s")
        .help("Time to go on serving after TERM, with /ready failing already, so that balancers notice"),
    OptionSpec::one(Times, "graceful-timeout", "TIME")
        .default("30s")
        .help("Time requests in flight have to end when a worker is asked to stop"),
    OptionSpec::one(Times, "worker-timeout", "TIME")
        .default("30s")
        .help("Time a worker may give no sign of life before it is killed and replaced; at least 1s"),
    // Http
    OptionSpec::one(Http, "limit-request-line", "SIZE").default("8190").help("Longest request line in bytes"),
    OptionSpec::one(Http, "limit-request-fields", "N").default("100").help("Most header fields of a request"),
    OptionSpec::one(Http, "limit-request-field-size", "SIZE")
        .default("8190")
        .help("Longest header field of a request in bytes"),
    OptionSpec::one(Http, "limit-request-body", "SIZE|none").default("none").help("Longest request body"),
    OptionSpec::one(Http, "body-buffer", "SIZE")
        .default("64KiB")
        .help("How much of a request body is read before an instance is occupied with it"),
    OptionSpec::one(Http, "response-buffer", "SIZE")
        .default("1MiB")
        .help("How much of a response is taken off the guest ahead of a slow client"),
    OptionSpec::many(Http, "forwarded-allow-ips", "LIST", ',').default("127.0.0.1,::1").help(
        "Addresses and networks of proxies whose Forwarded and X-Forwarded-* fields are \
             believed, separated by commas; * believes everyone",
    ),
    // Instances
    OptionSpec::one(Instances, "instance-max-requests", "N").default("1").help(
        "Requests an instance of the component answers before a fresh one takes its place; 1 \
             means that requests share nothing",
    ),
    OptionSpec::one(Instances, "instance-max-requests-jitter", "N").default("0").help(
        "Add a random number up to this one to --instance-max-requests, so that instances do \
             not all end together",
    ),
    OptionSpec::one(Instances, "instance-concurrency", "N")
        .default("16")
        .help("Requests a reused instance of a WASI 0.3 component works on at the same time"),
    OptionSpec::one(Instances, "memory-limit", "SIZE").default("256MiB").help(
        "Memory an instance may have, its tables and garbage-collected heaps included; from 1MiB to 4GiB",
    ),
    OptionSpec::one(Instances, "limit-guest-output", "SIZE")
        .default("1MiB")
        .help("What a guest may print for a request, each line counted as 128 bytes more; more ends it"),
    // Workers
    OptionSpec::one(Workers, "max-requests", "N").default("0").help(
        "Requests after which a worker is replaced, by one that is ready before it ends; 0 for \
             no limit",
    ),
    OptionSpec::one(Workers, "max-requests-jitter", "N").help(
        "Add a random number up to this one to --max-requests, so that workers do not all end \
             together; without it a tenth of that",
    ),
    OptionSpec::one(Workers, "max-worker-lifetime", "TIME|none")
        .default("none")
        .help("Time after which a worker is replaced, up to a tenth more; at least 1s"),
    OptionSpec::one(Workers, "worker-max-memory", "SIZE|none").default("none").help(
        "Replace a worker that has more memory than this, what it shares with others counted \
             in part (PSS); at least 1MiB",
    ),
    OptionSpec::one(Workers, "reload-surge", "N|N%")
        .default("25%")
        .help("How many new workers a reload starts at a time, as old ones end; at least one"),
    // Control
    OptionSpec::one(Control, "control-socket", "PATH|none").help(
        "Let wasgun ctl talk to the server at this unix socket; by default control.sock in the \
             directory that systemd gives a service (RuntimeDirectory=), and else none",
    ),
    OptionSpec::one(Control, "health-path", "PATH").help(
        "Ask the app for this path, as a first request in a new generation, and go on with it \
             only if the answer is 2xx or 3xx; without it, that it can be instantiated is enough",
    ),
    OptionSpec::one(Control, "health-bind", "ADDRESS").help(
        "Answer /live and /ready at this address, HOST:PORT or unix:PATH, without the app; apart \
             from those the address serves nothing",
    ),
    OptionSpec::one(Control, "health-path-prefix", "PREFIX")
        .help("Answer PREFIX/live and PREFIX/ready, such as /-/live, in the app's stead"),
    // Process
    OptionSpec::one(Process, "sandbox", "off|best-effort|required").default("best-effort").help(
        "Whether workers and compilers give up what they do not need (capabilities, files, system \
             calls): as far as the kernel lets them, or not without all of it",
    ),
    OptionSpec::one(Process, "cgroup-memory", "SIZE|none").default("none").help(
        "Memory that a worker may have at most; the kernel kills one that needs more, and it is \
             replaced. For servers with a cgroup (v2) of their own, such as systemd's Delegate= gives; \
             at least 16MiB",
    ),
    OptionSpec::one(Process, "cgroup-cpus", "N|none")
        .default("none")
        .help("Processors, such as 1.5, that a worker has the time of at most, by its cgroup"),
    OptionSpec::flag(Process, "daemon").short('D').help(
        "Go on in the background once the server is ready, or say why it is not; standard error \
             is kept if it is no terminal",
    ),
    OptionSpec::one(Process, "pid", "FILE")
        .short('p')
        .help("Write the process id of the master to a file, and hold a lock on that"),
    OptionSpec::one(Process, "user", "USER")
        .short('u')
        .help("Run the workers as this user, a name or a number"),
    OptionSpec::one(Process, "group", "GROUP")
        .short('g')
        .help("Run the workers as this group, a name or a number"),
    OptionSpec::one(Process, "umask", "OCTAL").short('m').help("File mode creation mask, such as 027"),
    OptionSpec::one(Process, "chdir", "DIR")
        .help("Change to a directory first; every relative path but that of --config starts there"),
    // Logging
    OptionSpec::one(Logging, "log-level", "LEVEL")
        .default("info")
        .help("Least severe messages to show: error, warn, info, debug or trace"),
    OptionSpec::one(Logging, "log-format", "text|json")
        .default("text")
        .help("Form of log lines, those of the access log included"),
    OptionSpec::one(Logging, "access-log", "FILE|-")
        .help("Log each request to a file, or to standard output with -"),
    // Compilation
    OptionSpec::one(Compilation, "cache-dir", "DIR").help(
        "Keep compiled components in this directory instead of $XDG_CACHE_HOME/wasgun, \
             ~/.cache/wasgun or, for root, /var/cache/wasgun",
    ),
    OptionSpec::one(Compilation, "compile-timeout", "TIME")
        .default("300s")
        .help("Time a compilation may take; at least 1s"),
    OptionSpec::one(Compilation, "compile-memory", "SIZE")
        .default("4GiB")
        .help("Address space a compilation may use; at least 64MiB"),
    OptionSpec::flag(Compilation, "allow-precompiled").help(
        "Accept a .cwasm file as APP. Its machine code is run as it is, so it must come from \
             someone you trust",
    ),
    // Development
    OptionSpec::flag(Development, "reload")
        .help("Reload when the component has changed; one that does not build or load changes nothing"),
    OptionSpec::many(Development, "reload-extra", "PATH", ',')
        .help("Watch this file, or all that is in this directory, too; repeatable"),
    // Configuration
    OptionSpec::one(Configuration, "config", "FILE")
        .short('c')
        .place(Place::NotInFile)
        .help("Read options from a TOML file; without it, from ./wasgun.toml if there is one"),
    OptionSpec::flag(Configuration, "check-config")
        .place(Place::CommandLine)
        .help("Check everything that was said, without a look into the component, and exit"),
    OptionSpec::flag(Configuration, "print-config").place(Place::CommandLine).help(
        "Print the effective configuration as TOML, with where each value comes from, and \
             exit",
    ),
];
