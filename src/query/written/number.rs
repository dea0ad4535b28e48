//! Whole numbers as PostgreSQL writes them.

/// Appends a decimal integer.
pub fn unsigned(mut value: u64, out: &mut Vec<u8>) {
    let mut digits = [0_u8; 20];
    let mut length = 0;
    for slot in digits.iter_mut().rev() {
        *slot = b'0' + (value % 10) as u8;
        value /= 10;
        length += 1;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(20 - length..).unwrap_or_default());
}

/// Appends a decimal integer with its sign.
pub fn signed(value: i64, out: &mut Vec<u8>) {
    if value < 0 {
        out.push(b'-');
    }
    unsigned(value.unsigned_abs(), out);
}
