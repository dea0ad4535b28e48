//! Statements of constants: `SELECT 1` is what drivers and pools ask to hear whether anybody is there. Their row is made once.

use std::collections::HashMap;

use arrow::array::RecordBatch;
use chrono_tz::Tz;
use parking_lot::Mutex;

/// Statements that are remembered. When there are more, all are forgotten: whoever asks for so many different ones gains nothing by it.
const MAX_KEPT: usize = 256;
/// Bytes of a statement that is.
const MAX_TEXT: usize = 256;

/// The rows of statements that read nothing, call nothing and take no parameters, by their text and the time zone that its literals are read
/// in. They are the same for everybody, so nothing in them is anybody's secret.
#[derive(Debug, Default)]
pub(super) struct Constants(Mutex<HashMap<(Tz, String), RecordBatch>>);

impl Constants {
    pub(super) fn get(&self, zone: Tz, text: &str) -> Option<RecordBatch> {
        if text.len() > MAX_TEXT {
            return None;
        }
        self.0.lock().get(&(zone, text.to_owned())).cloned()
    }

    pub(super) fn keep(&self, zone: Tz, text: &str, row: RecordBatch) {
        if text.len() > MAX_TEXT {
            return;
        }
        let mut kept = self.0.lock();
        if kept.len() >= MAX_KEPT {
            kept.clear();
        }
        kept.insert((zone, text.to_owned()), row);
    }
}
