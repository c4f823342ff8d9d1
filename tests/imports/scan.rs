//! Reading Rust well enough to see which modules a file names.

/// A file of the source.
pub struct SourceFile {
    /// From `src/` on.
    pub path: String,
    pub text: String,
}

/// The code alone: comments, and what is inside of quotes, become blanks.
pub fn without_comments_and_texts(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let in_word = code.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let skipped = match c {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => block_comment(rest),
            '"' => quoted(rest),
            'r' if !in_word => raw_text(rest).unwrap_or(0),
            '\'' => character(rest).unwrap_or(0),
            _ => 0,
        };
        if skipped > 0 {
            code.push(' ');
            rest = &rest[skipped..];
        } else {
            code.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    code
}

fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                break;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    at
}

/// Bytes of the text that begins with a quote.
fn quoted(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut at = 1;
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(text.len())
}

/// Bytes of `r"..."`, `r#"..."#`; not of a raw name or a word.
fn raw_text(text: &str) -> Option<usize> {
    let hashes = text[1..].bytes().take_while(|byte| *byte == b'#').count();
    let inner = text[1 + hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let length = inner.find(&end).map_or(inner.len(), |at| at + end.len());
    Some(2 + hashes + length)
}

/// Bytes of a character; not of a lifetime.
fn character(text: &str) -> Option<usize> {
    let mut chars = text.char_indices().skip(1);
    let (_, first) = chars.next()?;
    if first == '\\' {
        let after = text[3..].find('\'')?;
        return Some(3 + after + 1);
    }
    let (at, close) = chars.next()?;
    (close == '\'').then_some(at + 1)
}

/// The modules that are named as `ROOT::NAME` or `ROOT::{NAME, OTHER::{..}}`,
/// where the root is a path itself: `crate`, `super::super`.
pub fn names_of(code: &str, root: &str) -> Vec<String> {
    let tokens = tokens(code);
    let root = self::tokens(root);
    let mut names = Vec::new();
    for (at, window) in tokens.windows(root.len() + 1).enumerate() {
        if window[..root.len()] != root || window[root.len()] != "::" {
            continue;
        }
        let rest = &tokens[at + root.len() + 1..];
        match rest.first() {
            Some(&"{") => names.extend(names_in_braces(&rest[1..])),
            Some(name) => names.push((*name).to_owned()),
            None => {}
        }
    }
    names
}

/// The first words of a list up to its closing brace.
fn names_in_braces(tokens: &[&str]) -> Vec<String> {
    let (mut names, mut depth, mut begins) = (Vec::new(), 1, true);
    for token in tokens {
        match *token {
            "{" => depth += 1,
            "}" => depth -= 1,
            name if depth == 1 && begins => names.push(name.to_owned()),
            _ => {}
        }
        begins = *token == ",";
        if depth == 0 {
            break;
        }
    }
    names
}

/// Whether a path of the code begins with a crate whose name begins so.
pub fn word_at_start(code: &str, start: &str) -> bool {
    let tokens = tokens(code);
    tokens.windows(2).any(|pair| pair[0].starts_with(start) && pair[1] == "::")
        || tokens.windows(2).any(|pair| pair[0] == "use" && pair[1].starts_with(start))
}

/// Words, `::`, and single other characters.
fn tokens(code: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = code.trim_start();
    while let Some(c) = rest.chars().next() {
        let length = match c {
            c if c.is_alphanumeric() || c == '_' => {
                rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len())
            }
            ':' if rest.starts_with("::") => 2,
            c => c.len_utf8(),
        };
        tokens.push(&rest[..length]);
        rest = rest[length..].trim_start();
    }
    tokens
}
