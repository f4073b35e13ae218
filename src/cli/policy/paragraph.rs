//! Lines that fit on a screen.

const WIDTH: usize = 100;

/// Words separated by commas, over as many indented lines as they take.
pub(super) fn list(words: &[String], indent: usize) -> String {
    let mut text = " ".repeat(indent);
    let mut column = indent;
    for (at, word) in words.iter().enumerate() {
        let comma = usize::from(at + 1 < words.len());
        let length = word.chars().count() + comma;
        if column > indent && column + 1 + length > WIDTH {
            text.push('\n');
            text.push_str(&" ".repeat(indent));
            column = indent;
        } else if column > indent {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        text.push_str(&",".repeat(comma));
        column += length;
    }
    text
}
