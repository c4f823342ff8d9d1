//! A small HTTP/1.1 client that sends exactly the bytes it is told, and reads
//! answers strictly.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};

use super::PATIENCE;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub trailers: Vec<(String, String)>,
}

impl Response {
    /// The first field of that name, in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A connection.
pub struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    #[track_caller]
    pub fn open(address: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap_or_else(|error| panic!("{address}: {error}"));
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream: BufReader::new(stream) }
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes.as_ref())
    }

    /// Says that nothing more comes.
    pub fn finish(&mut self) {
        drop(self.stream.get_mut().shutdown(Shutdown::Write));
    }

    /// The socket.
    pub fn socket(&self) -> &TcpStream {
        self.stream.get_ref()
    }

    /// Sends a GET and reads the answer.
    pub fn get(&mut self, path: &str) -> io::Result<Response> {
        self.send(format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n"))?;
        self.read()
    }

    /// Sends a POST and reads the answer.
    pub fn post(&mut self, path: &str, body: &[u8]) -> io::Result<Response> {
        self.send(format!("POST {path} HTTP/1.1\r\nhost: test\r\ncontent-length: {}\r\n\r\n", body.len()))?;
        self.send(body)?;
        self.read()
    }

    /// Reads an answer to anything but HEAD; a body that is cut is an error.
    pub fn read(&mut self) -> io::Result<Response> {
        let (status, headers) = self.read_head()?;
        let mut response = Response { status, headers, body: Vec::new(), trailers: Vec::new() };
        if response.header("transfer-encoding") == Some("chunked") {
            self.read_chunks(&mut response)?;
        } else if let Some(length) = response.header("content-length") {
            let length = length.parse().map_err(|_| io::Error::other("bad content-length"))?;
            response.body = vec![0; length];
            self.stream.read_exact(&mut response.body)?;
        } else if !matches!(status, 100..200 | 204 | 304) {
            self.stream.read_to_end(&mut response.body)?;
        }
        Ok(response)
    }

    /// Reads the head of an answer, as for HEAD.
    pub fn read_head(&mut self) -> io::Result<(u16, Vec<(String, String)>)> {
        let line = self.read_line()?;
        let status = line
            .strip_prefix("HTTP/1.1 ")
            .or_else(|| line.strip_prefix("HTTP/1.0 "))
            .and_then(|rest| rest.get(..3)?.parse().ok())
            .ok_or_else(|| io::Error::other(format!("no status line: {line:?}")))?;
        Ok((status, self.read_fields()?))
    }

    fn read_fields(&mut self) -> io::Result<Vec<(String, String)>> {
        let mut fields = Vec::new();
        loop {
            let line = self.read_line()?;
            if line.is_empty() {
                return Ok(fields);
            }
            let (name, value) =
                line.split_once(':').ok_or_else(|| io::Error::other(format!("no field: {line:?}")))?;
            fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    fn read_chunks(&mut self, response: &mut Response) -> io::Result<()> {
        loop {
            let chunk = self.read_chunk()?;
            if chunk.is_empty() {
                response.trailers = self.read_fields()?;
                return Ok(());
            }
            response.body.extend(chunk);
        }
    }

    /// Reads one chunk of a body; after the empty one, trailers follow.
    pub fn read_chunk(&mut self) -> io::Result<Vec<u8>> {
        let line = self.read_line()?;
        let size = usize::from_str_radix(&line, 16)
            .map_err(|_| io::Error::other(format!("no chunk size: {line:?}")))?;
        let mut chunk = vec![0; size];
        self.stream.read_exact(&mut chunk)?;
        if size > 0 && !self.read_line()?.is_empty() {
            return Err(io::Error::other("a chunk does not end where it said"));
        }
        Ok(chunk)
    }

    fn read_line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line)?;
        match line.strip_suffix(b"\r\n") {
            Some(line) => Ok(String::from_utf8_lossy(line).into_owned()),
            None => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("cut at {:?}", String::from_utf8_lossy(&line)),
            )),
        }
    }

    /// Everything up to the server's close; a reset counts as one.
    pub fn read_to_close(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut piece = [0; 4096];
        loop {
            match self.stream.read(&mut piece) {
                Ok(0) => return bytes,
                Ok(length) => bytes.extend_from_slice(&piece[..length]),
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return bytes,
                Err(error) => panic!("the server does not close: {error}"),
            }
        }
    }
}

/// One GET on a connection of its own.
#[track_caller]
pub fn get(address: &str, path: &str) -> Response {
    Connection::open(address).get(path).unwrap_or_else(|error| panic!("GET {path}: {error}"))
}
