//! Which firings are due: pure arithmetic on a calendar, a place in it, and now.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::calendar::Calendar;

/// Firings that one look returns as due.
pub const MAX_DUE_PER_LOOK: usize = 200;
/// Times that one look passes.
pub const MAX_TIMES_PER_LOOK: usize = 10_000;

/// One firing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Firing {
    /// The time of the schedule, in unix milliseconds. It names the firing: each happens once.
    pub nominal_ms: i64,
    /// When it happens, in unix milliseconds: the same, and the jitter.
    pub at_ms: i64,
}

/// What has become due between a place in the calendar and now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Look {
    /// Firings that are due, in order.
    pub due: Vec<Firing>,
    /// How many others were due longer ago than the window allows.
    pub missed: u64,
    /// The nominal time up to which all were looked at, in unix milliseconds.
    pub cursor_ms: i64,
    /// The next one that is not due yet. With [`Look::is_complete`]; `None` if there will be none.
    pub next: Option<Firing>,
    /// Whether everything until now was looked at. If not, look again from the cursor.
    pub is_complete: bool,
}

/// How a look is taken.
#[derive(Clone, Copy, Debug)]
pub struct Lens<'a> {
    /// Whose firings: part of what jitter is drawn from.
    pub schedule_id: &'a str,
    /// The most that jitter adds, in milliseconds.
    pub jitter_ms: i64,
    /// How late a firing may be, in milliseconds.
    pub catch_up_ms: i64,
}

impl Lens<'_> {
    /// Looks at the times after `cursor_ms` until `now_ms`.
    pub fn look(&self, calendar: &Calendar, cursor_ms: i64, now_ms: i64) -> Look {
        let mut look = Look { cursor_ms, ..Look::default() };
        for firing in self.firings(calendar, cursor_ms).take(MAX_TIMES_PER_LOOK) {
            if firing.at_ms > now_ms {
                look.next = Some(firing);
                look.is_complete = true;
                return look;
            }
            if now_ms - firing.at_ms > self.catch_up_ms {
                look.missed += 1;
            } else if look.due.len() < MAX_DUE_PER_LOOK {
                look.due.push(firing);
            } else {
                return look;
            }
            look.cursor_ms = firing.nominal_ms;
        }
        look.is_complete = calendar.next_after(look.cursor_ms).is_none();
        look
    }

    /// All firings after a nominal time, in order.
    pub fn firings<'a>(
        &'a self,
        calendar: &'a Calendar,
        after_ms: i64,
    ) -> impl Iterator<Item = Firing> + 'a {
        let first = calendar.next_after(after_ms);
        let times = std::iter::successors(first, |time| calendar.next_after(*time));
        let mut times = times.peekable();
        std::iter::from_fn(move || {
            let nominal_ms = times.next()?;
            // Only jitter needs to know what follows: the search is not free.
            let gap_ms = match self.jitter_ms {
                0 => 1,
                _ => times.peek().map_or(i64::MAX, |next| next - nominal_ms),
            };
            Some(Firing {
                nominal_ms,
                at_ms: nominal_ms.saturating_add(self.delay(nominal_ms, gap_ms)),
            })
        })
    }

    /// The delay of a firing: the same whenever it is asked for, and less than what separates it from the next.
    fn delay(&self, nominal_ms: i64, gap_ms: i64) -> i64 {
        let span_ms = self.jitter_ms.min(gap_ms - 1).max(0);
        if span_ms == 0 {
            return 0;
        }
        let drawn = xxh3_64(format!("{}/{nominal_ms}", self.schedule_id).as_bytes());
        // The remainder is at most `span_ms`, which is an i64.
        (drawn % (span_ms as u64 + 1)) as i64
    }
}
