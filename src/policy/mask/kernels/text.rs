//! Text masks. A character is a Unicode code point.

/// How many characters `show-first-4` and `show-last-4` keep.
const SHOWN: usize = 4;

/// Digits become `n`, `( ) , . - @` stay, all else becomes `x`.
fn redact(character: char) -> char {
    match character {
        '0'..='9' => 'n',
        '(' | ')' | ',' | '.' | '-' | '@' => character,
        _ => 'x',
    }
}

pub(super) fn alphanum(text: &str, out: &mut String) {
    out.extend(text.chars().map(redact));
}

/// A text of four characters or fewer stays as it is: so Iceberg has it.
pub(super) fn show_first_4(text: &str, out: &mut String) {
    out.extend(text.chars().enumerate().map(|(i, c)| if i < SHOWN { c } else { redact(c) }));
}

pub(super) fn show_last_4(text: &str, out: &mut String) {
    let hidden = text.chars().count().saturating_sub(SHOWN);
    out.extend(text.chars().enumerate().map(|(i, c)| if i < hidden { redact(c) } else { c }));
}

/// `x…@domain`, or `x…` where what follows the last `@` is not plainly a domain: a phone number or a name that somebody typed into the
/// wrong field must not come through as one.
pub(super) fn email(text: &str, out: &mut String) {
    out.push_str("x…");
    if let Some((_, domain)) = text.rsplit_once('@')
        && is_domain(domain)
    {
        out.push('@');
        out.push_str(domain);
    }
}

fn is_domain(text: &str) -> bool {
    let is_label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let Some((_, last)) = text.rsplit_once('.') else { return false };
    text.len() <= 253 && text.split('.').all(is_label) && last.bytes().any(|b| b.is_ascii_alphabetic())
}
