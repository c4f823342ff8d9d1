//! Files of environment variables: `NAME=VALUE` lines, as `.env` files have.

/// A name and its value.
pub(super) type Variable = (String, String);

/// A line's number, from 1, and what is wrong with it.
pub(super) type Mistake = (usize, String);

/// The variables in order, and the lines that are none.
pub(super) fn parse(text: &str) -> (Vec<Variable>, Vec<Mistake>) {
    let (mut variables, mut mistakes) = (Vec::new(), Vec::new());
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match variable(line) {
            Ok(variable) => variables.push(variable),
            Err(message) => mistakes.push((at + 1, message)),
        }
    }
    (variables, mistakes)
}

fn variable(line: &str) -> Result<Variable, String> {
    let exported = line.strip_prefix("export").filter(|rest| rest.starts_with([' ', '\t']));
    let (name, text) = split(exported.unwrap_or(line).trim_start())?;
    let text = text.trim_start();
    let value = match text.chars().next() {
        Some(quote @ ('\'' | '"')) => quoted(&text[1..], quote)?,
        _ => bare(text).to_owned(),
    };
    Ok((name.trim_end().to_owned(), value)).and_then(checked)
}

/// `NAME=VALUE` as the command line has it: nothing is quoted there.
pub(super) fn pair(text: &str) -> Result<Variable, String> {
    let (name, value) = split(text)?;
    checked((name.to_owned(), value.to_owned()))
}

fn split(text: &str) -> Result<(&str, &str), String> {
    text.split_once('=').ok_or_else(|| format!("{text:?} is not a variable: write NAME=VALUE"))
}

fn checked((name, value): Variable) -> Result<Variable, String> {
    if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(format!("{name:?} is not the name of a variable: write NAME=VALUE"));
    }
    if value.contains('\0') {
        return Err(format!("the value of {name} contains a NUL"));
    }
    Ok((name, value))
}

/// Up to a comment, which needs a blank before it: colours are `#rrggbb`.
fn bare(text: &str) -> &str {
    let comment =
        text.char_indices().find(|(at, c)| *c == '#' && (*at == 0 || text[..*at].ends_with([' ', '\t'])));
    text[..comment.map_or(text.len(), |(at, _)| at)].trim_end()
}

/// The text up to the closing `quote`; backslashes count between double ones.
fn quoted(text: &str, quote: char) -> Result<String, String> {
    let mut value = String::new();
    let mut rest = text.chars();
    loop {
        match rest.next() {
            None => return Err(format!("the quote {quote} is not closed on its line")),
            Some(c) if c == quote => break,
            Some('\\') if quote == '"' => match rest.next() {
                Some('n') => value.push('\n'),
                Some('r') => value.push('\r'),
                Some('t') => value.push('\t'),
                Some(c @ ('"' | '\\' | '$')) => value.push(c),
                Some(c) => value.extend(['\\', c]),
                None => value.push('\\'),
            },
            Some(c) => value.push(c),
        }
    }
    match bare(rest.as_str().trim_start()) {
        "" => Ok(value),
        more => Err(format!("{more:?} follows the closing quote")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_as_shells_and_dotenv_have_them() {
        for (line, name, value) in [
            ("A=1", "A", "1"),
            ("  A = 1  ", "A", "1"),
            ("export A=1", "A", "1"),
            ("export\tA=1", "A", "1"),
            ("exported=1", "exported", "1"),
            ("A=", "A", ""),
            ("A= # nothing", "A", ""),
            ("A=x=y=z", "A", "x=y=z"),
            ("A=1 # one", "A", "1"),
            ("A=#fff", "A", ""),
            ("A=x#fff", "A", "x#fff"),
            ("A=it's", "A", "it's"),
            ("A='a # \"b\" \\n $c'", "A", "a # \"b\" \\n $c"),
            ("A=\"a # 'b'\\n\\\"c\\\" \\$d \\w\" # e", "A", "a # 'b'\n\"c\" $d \\w"),
            ("A=''", "A", ""),
            ("A.b-c=ü", "A.b-c", "ü"),
        ] {
            let (variables, mistakes) = parse(line);
            assert_eq!(mistakes, [], "{line}");
            assert_eq!(variables, [(name.to_owned(), value.to_owned())], "{line}");
        }
    }

    #[test]
    fn bad_lines_have_numbers_and_good_ones_still_count() {
        let (variables, mistakes) =
            parse("\u{feff}A=1\r\n\r\n# c\r\nnonsense\r\nB='x\r\nC=\"x\"y\r\n=1\r\nD D=1\r\nZ=2");
        assert_eq!(variables, [("A".to_owned(), "1".to_owned()), ("Z".to_owned(), "2".to_owned())]);
        let numbers: Vec<_> = mistakes.iter().map(|(line, _)| *line).collect();
        assert_eq!(numbers, [4, 5, 6, 7, 8]);
        assert!(mistakes[0].1.contains("NAME=VALUE") && mistakes[1].1.contains("not closed"), "{mistakes:?}");
        assert!(mistakes[2].1.contains("\"y\" follows"), "{mistakes:?}");
        assert_eq!(parse("A=\"x\\").1.len(), 1);
        assert_eq!(parse("A=a\0b").1.len(), 1);
    }
}
