//! As much JSON as the probe's answers need, which are written and never read.

pub fn string(text: &str) -> String {
    let mut json = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            c if c < ' ' => json.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => json.push(c),
        }
    }
    json.push('"');
    json
}

pub fn optional(text: Option<&str>) -> String {
    text.map_or_else(|| "null".into(), string)
}

pub fn list<T>(items: &[T], each: impl Fn(&T) -> String) -> String {
    format!("[{}]", items.iter().map(each).collect::<Vec<_>>().join(","))
}

pub fn strings(items: &[String]) -> String {
    list(items, |item| string(item))
}

/// `[["name","value"],…]`, of environment variables or header fields.
pub fn pairs<V: AsRef<[u8]>>(pairs: &[(String, V)]) -> String {
    list(pairs, |(name, value)| {
        let value = String::from_utf8_lossy(value.as_ref());
        format!("[{},{}]", string(name), string(&value))
    })
}
