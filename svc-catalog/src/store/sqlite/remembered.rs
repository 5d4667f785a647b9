//! Answers that were given to request ids, found again.

use souk_mesh::idempotency::Remembered;

use super::Write;
use crate::error::Error;
use crate::store::RequestKey;
use crate::store::answers::Answer;

/// Does the work, or gives the answer that the same request got before.
pub(super) fn once<T: Answer>(
    write: &Write<'_>,
    request: Option<&RequestKey>,
    work: impl FnOnce() -> Result<T, Error>,
) -> Result<T, Error> {
    let Some(request) = request else {
        return work();
    };
    match request.check(write.connection)? {
        Remembered::Conflict => Err(Error::RequestIdReused),
        Remembered::Same(bytes) => T::from_bytes(&bytes)
            .ok_or_else(|| Error::Damaged(format!("answer to request {}", request.request_id))),
        Remembered::New => {
            let answer = work()?;
            request.remember(write.connection, &answer.to_bytes(), write.now_ms)?;
            Ok(answer)
        }
    }
}
