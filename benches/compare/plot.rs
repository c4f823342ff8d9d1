//! A picture of bars, as SVG.

use std::fmt::Write;

use crate::results::short;

/// Bars that share a scale.
pub struct Panel {
    pub title: String,
    pub bars: Vec<Bar>,
}

/// One of them.
pub struct Bar {
    pub label: String,
    pub value: f64,
    pub is_ours: bool,
}

const WIDTH: f64 = 760.0;
const MARGIN: f64 = 24.0;
/// Where bars begin, right of their labels.
const AXIS: f64 = 280.0;
/// Room for the value behind the longest bar.
const VALUE: f64 = 72.0;
const BAR: f64 = 14.0;
const ROW: f64 = 22.0;
const TITLE: f64 = 30.0;
const GAP: f64 = 14.0;

/// Its own ground goes with its own colours: whoever shows it may think otherwise
/// of the light in the room than the page around it.
const STYLE: &str = "\
text{font:13px system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif;fill:#1f2328}\
.ground{fill:#fff}.title{font-weight:600}.note{fill:#59636e;font-size:12px}.label{text-anchor:end}\
.axis{stroke:#d1d9e0}.bar{fill:#9aa4af}.ours{fill:#5e5bd6}\
@media(prefers-color-scheme:dark){text{fill:#f0f6fc}.ground{fill:#0d1117}.note{fill:#9198a1}\
.axis{stroke:#3d444d}.bar{fill:#656c76}.ours{fill:#8f8dff}}";

/// A picture of `panels`, each on a scale of its own.
pub fn svg(title: &str, note: &str, panels: &[Panel]) -> String {
    let heights = panels.iter().map(|panel| TITLE + ROW * panel.bars.len() as f64 + GAP);
    let height = 2.0 * MARGIN + 34.0 + heights.sum::<f64>();
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
         height=\"{height}\" role=\"img\">\n<title>{title}</title>\n<style>{STYLE}</style>\n",
        title = escaped(title)
    );
    svg.push_str("<rect class=\"ground\" width=\"100%\" height=\"100%\" rx=\"6\"/>\n");
    let mut y = MARGIN + 10.0;
    text(&mut svg, "title", MARGIN, y, title);
    y += 18.0;
    text(&mut svg, "note", MARGIN, y, note);
    y += 6.0;
    for panel in panels {
        y += TITLE;
        text(&mut svg, "title", MARGIN, y - 8.0, &panel.title);
        let most = panel.bars.iter().map(|bar| bar.value).fold(f64::MIN_POSITIVE, f64::max);
        let end = y + ROW * panel.bars.len() as f64;
        for (row, bar) in panel.bars.iter().enumerate() {
            let top = y + ROW * row as f64 + (ROW - BAR) / 2.0;
            let (middle, length) = (top + BAR - 2.5, (WIDTH - MARGIN - VALUE - AXIS) * bar.value / most);
            let class = if bar.is_ours { "ours" } else { "bar" };
            text(&mut svg, "label", AXIS - 8.0, middle, &bar.label);
            let _ = writeln!(
                svg,
                "<rect class=\"{class}\" x=\"{AXIS}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{BAR}\" rx=\"2\"/>",
                length.max(1.0)
            );
            text(&mut svg, "value", AXIS + length + 6.0, middle, &short(bar.value));
        }
        let _ =
            writeln!(svg, "<line class=\"axis\" x1=\"{AXIS}\" y1=\"{y:.1}\" x2=\"{AXIS}\" y2=\"{end:.1}\"/>");
        y = end + GAP;
    }
    svg.push_str("</svg>\n");
    svg
}

fn text(svg: &mut String, class: &str, x: f64, y: f64, text: &str) {
    let text = escaped(text);
    let _ = writeln!(svg, "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{text}</text>");
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
