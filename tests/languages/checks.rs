//! What every app answers, by guests/README.md.

use std::thread;

use super::support::client::{Connection, Response};
use super::support::{Server, eventually};

/// One thing to ask.
pub struct Check {
    pub name: &'static str,
    pub run: fn(&Server, &str) -> Outcome,
}

type Outcome = Result<(), String>;

/// In the order of the table.
pub const ALL: [Check; 8] = [
    Check { name: "hello", run: hello },
    Check { name: "echo", run: echo },
    Check { name: "headers", run: headers },
    Check { name: "query", run: query },
    Check { name: "json", run: json },
    Check { name: "404", run: missing },
    Check { name: "error", run: error },
    Check { name: "at once", run: at_once },
];

/// Who leaves out what, by its README.
const LEFT_OUT: [(&str, &str); 2] = [("wat", "query"), ("wat", "json")];

/// What goes there and back, in bytes.
const ECHOED: usize = 10 << 20;

/// What a client sends before it wants to hear something: more than a server reads ahead.
const FIRST: usize = 256 << 10;

impl Check {
    pub fn applies_to(&self, name: &str) -> bool {
        !LEFT_OUT.contains(&(name, self.name))
    }
}

fn expect(response: &Response, status: u16, text: &str) -> Outcome {
    if response.status == status && response.text() == text {
        return Ok(());
    }
    Err(format!("{status} with {text:?} was expected, not {} with {:?}", response.status, response.text()))
}

fn ask(server: &Server, request: impl AsRef<[u8]>) -> Result<Response, String> {
    let mut connection = Connection::open(&server.address);
    connection.send(request).and_then(|()| connection.read()).map_err(|error| error.to_string())
}

fn get(server: &Server, path: &str) -> Result<Response, String> {
    ask(server, format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n"))
}

/// More than once, since an instance may fail at its second request.
fn hello(server: &Server, _: &str) -> Outcome {
    for _ in 0..3 {
        let response = get(server, "/")?;
        let kind = response.header("content-type").unwrap_or_default();
        if response.status != 200
            || !response.text().starts_with("Hello from ")
            || !kind.starts_with("text/plain")
        {
            return Err(format!("{} {kind} {:?}", response.status, response.text()));
        }
    }
    Ok(())
}

/// The body has to come back before it has all been sent.
fn echo(server: &Server, _: &str) -> Outcome {
    let body: Vec<u8> = (0..ECHOED as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mut connection = Connection::open(&server.address);
    let head = "POST /echo HTTP/1.1\r\nhost: test\r\ncontent-type: application/x-test\r\n";
    let to_text = |error: std::io::Error| error.to_string();
    connection.send(format!("{head}content-length: {ECHOED}\r\n\r\n")).map_err(to_text)?;
    connection.send(&body[..FIRST]).map_err(to_text)?;
    let (status, fields) = connection.read_head().map_err(to_text)?;
    let field = |name: &str| fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str());
    if status != 200 || field("content-type") != Some("application/x-test") {
        return Err(format!("{status} {fields:?}"));
    }
    if field("transfer-encoding") != Some("chunked") {
        return Err(format!("it is not sent as it comes: {fields:?}"));
    }
    let mut echoed = connection.read_chunk().map_err(to_text)?;
    let mut sender = connection.socket().try_clone().map_err(to_text)?;
    let rest = body[FIRST..].to_vec();
    let sending = thread::spawn(move || std::io::Write::write_all(&mut sender, &rest));
    loop {
        let chunk =
            connection.read_chunk().map_err(|error| format!("after {} bytes: {error}", echoed.len()))?;
        if chunk.is_empty() {
            break;
        }
        echoed.extend(chunk);
    }
    sending.join().expect("it does not panic").map_err(to_text)?;
    if echoed != body {
        return Err(format!("{} bytes came back, and not the same", echoed.len()));
    }
    Ok(())
}

fn headers(server: &Server, _: &str) -> Outcome {
    let response = ask(server, "GET /headers HTTP/1.1\r\nhost: test\r\nX-Question: what is it?\r\n\r\n")?;
    let cookies: Vec<_> = response.headers.iter().filter(|(name, _)| name == "set-cookie").collect();
    let are_both = cookies.len() == 2 && cookies[0].1 == "a=1" && cookies[1].1 == "b=2";
    if response.status != 200 || response.header("x-answer") != Some("what is it?") || !are_both {
        return Err(format!("{} {:?}", response.status, response.headers));
    }
    Ok(())
}

fn query(server: &Server, _: &str) -> Outcome {
    expect(&get(server, "/query?name=Ada%20Lovelace")?, 200, "Hello, Ada Lovelace!\n")?;
    expect(&get(server, "/query?x=1&name=J%C3%BCrgen+%26+Co")?, 200, "Hello, Jürgen & Co!\n")
}

fn json(server: &Server, _: &str) -> Outcome {
    let post = |body: &str| {
        let length = body.len();
        ask(
            server,
            format!(
                "POST /json HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
            ),
        )
    };
    let response = post("{\"numbers\": [1, 2, 3]}")?;
    let kind = response.header("content-type").unwrap_or_default();
    let answer: serde_json::Value =
        serde_json::from_slice(&response.body).map_err(|error| error.to_string())?;
    if response.status != 200
        || !kind.starts_with("application/json")
        || answer != serde_json::json!({"sum": 6})
    {
        return Err(format!("{} {kind} {answer}", response.status));
    }
    for bad in ["", "{", "{\"numbers\": \"many\"}"] {
        let status = post(bad)?.status;
        // What a framework says of a body that has another shape.
        if !matches!(status, 400 | 422) {
            return Err(format!("{bad:?} is answered with {status}"));
        }
    }
    Ok(())
}

fn missing(server: &Server, _: &str) -> Outcome {
    match get(server, "/nothing")?.status {
        404 => Ok(()),
        status => Err(format!("it is answered with {status}")),
    }
}

/// The client gets a 500, the log the reason, and the worker lives.
fn error(server: &Server, _: &str) -> Outcome {
    let (children, lines) = (server.children(), server.log().len());
    for _ in 0..3 {
        let response = get(server, "/error")?;
        if response.status != 500 {
            return Err(format!("it is answered with {}", response.status));
        }
    }
    eventually("the log says why", || server.log().len() > lines);
    hello(server, "")?;
    if server.children() != children {
        return Err(format!("the processes were {children:?}, and are {:?}", server.children()));
    }
    Ok(())
}

/// Each of many clients has to get its own answer.
fn at_once(server: &Server, name: &str) -> Outcome {
    thread::scope(|scope| {
        let client = |client: usize| {
            move || {
                (0..10).try_for_each(|_| match LEFT_OUT.contains(&(name, "query")) {
                    true => headers(server, name),
                    false => expect(
                        &get(server, &format!("/query?name={client}"))?,
                        200,
                        &format!("Hello, {client}!\n"),
                    ),
                })
            }
        };
        let clients: Vec<_> = (0..16).map(|at| scope.spawn(client(at))).collect();
        clients.into_iter().try_for_each(|client| client.join().expect("it does not panic"))
    })
}
