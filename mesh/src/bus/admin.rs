//! The gRPC service by which people look after dead letters.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use souk_proto::mesh::v1::event_admin_service_server::{
    EventAdminService, EventAdminServiceServer,
};
use souk_proto::mesh::v1::{
    self as wire, GetDeadLetterRequest, GetDeadLetterResponse, ListDeadLettersRequest,
    ListDeadLettersResponse, ReplayDeadLettersRequest, ReplayDeadLettersResponse,
};
use souk_proto::time::timestamp;
use tonic::{Code, Request, Response, Status};

use super::{Bus, DeadLetter, DeadLetterQuery, Error, Replay};
use crate::error::{self, FieldViolation};
use crate::idempotency::RequestKey;
use crate::identity::{Caller, Keys};
use crate::page::{self, Tokens};

/// Dead letters of a page when the caller does not say how many.
const PAGE_SIZE: u32 = 50;
/// Most dead letters of a page.
const LARGEST_PAGE: u32 = 500;
/// Dead letters replayed at once, at most, and when the caller does not say how many.
const REPLAYED_AT_ONCE: u32 = 500;

/// The service over a bus. Its RPCs are for staff only, which the server stack enforces.
pub fn service(bus: Arc<dyn Bus>, keys: &Keys) -> EventAdminServiceServer<impl EventAdminService> {
    EventAdminServiceServer::new(Admin { bus, tokens: Tokens::new(keys) })
}

/// When to ask again while the broker is away.
const AWAY_RETRY_AFTER: Duration = Duration::from_secs(1);

struct Admin {
    bus: Arc<dyn Bus>,
    tokens: Tokens,
}

#[async_trait]
impl EventAdminService for Admin {
    async fn list_dead_letters(
        &self,
        request: Request<ListDeadLettersRequest>,
    ) -> Result<Response<ListDeadLettersResponse>, Status> {
        let request = request.into_inner();
        let scope = format!("ListDeadLetters/{}", request.queue);
        let before_id: Option<i64> = self.tokens.decode(&request.page_token, &scope)?;
        let size = page::size(request.page_size, PAGE_SIZE, LARGEST_PAGE)? as usize;
        let query = DeadLetterQuery { queue: named(request.queue), before_id, limit: size };
        let letters = self.bus.dead_letters(query).await?;
        let next_page_token = match letters.last() {
            Some(last) if letters.len() == size => self.tokens.encode(&last.id, &scope)?,
            _ => String::new(),
        };
        let dead_letters = letters.into_iter().map(to_wire).collect();
        Ok(Response::new(ListDeadLettersResponse { dead_letters, next_page_token }))
    }

    async fn get_dead_letter(
        &self,
        request: Request<GetDeadLetterRequest>,
    ) -> Result<Response<GetDeadLetterResponse>, Status> {
        let asked = request.into_inner().dead_letter_id;
        let id: i64 = asked.parse().map_err(|_| not_an_id("dead_letter_id".to_owned()))?;
        // Newest first, so the first that is older than the next id is this one or there is none.
        let query = DeadLetterQuery { queue: None, before_id: id.checked_add(1), limit: 1 };
        let found = self.bus.dead_letters(query).await?.into_iter().find(|letter| letter.id == id);
        let dead_letter = found.map(to_wire).ok_or_else(|| {
            let message =
                format!("no dead letter is called {asked}: it was replayed, or never was");
            error::status(Code::NotFound, "DEAD_LETTER_NOT_FOUND", message)
        })?;
        Ok(Response::new(GetDeadLetterResponse { dead_letter: Some(dead_letter) }))
    }

    async fn replay_dead_letters(
        &self,
        request: Request<ReplayDeadLettersRequest>,
    ) -> Result<Response<ReplayDeadLettersResponse>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let id = &request.request_id;
        let key = RequestKey::if_any(&caller, "ReplayDeadLetters", id, &request);
        let ids: Vec<i64> = request
            .dead_letter_ids
            .iter()
            .enumerate()
            .map(|(at, id)| id.parse().map_err(|_| not_an_id(format!("dead_letter_ids[{at}]"))))
            .collect::<Result<_, _>>()?;
        let limit = page::size(request.limit, REPLAYED_AT_ONCE, REPLAYED_AT_ONCE)? as usize;
        let which = Replay { queue: named(request.queue), ids, limit, request: key };
        let replayed = self.bus.replay(which).await?;
        let replayed = i32::try_from(replayed).unwrap_or(i32::MAX);
        Ok(Response::new(ReplayDeadLettersResponse { replayed }))
    }
}

fn named(queue: String) -> Option<String> {
    (!queue.is_empty()).then_some(queue)
}

fn not_an_id(field: String) -> Status {
    let violation = FieldViolation::new(field, "is not an id that ListDeadLetters gives");
    error::invalid_argument("INVALID_FIELDS", vec![violation])
}

fn to_wire(letter: DeadLetter) -> wire::DeadLetter {
    wire::DeadLetter {
        dead_letter_id: letter.id.to_string(),
        queue: letter.queue,
        event: Some(letter.event),
        reason: letter.reason,
        attempts: i32::try_from(letter.attempts).unwrap_or(i32::MAX),
        dead_time: Some(timestamp(letter.dead_at_ms)),
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        match error {
            Error::Store(error) => error.into(),
            Error::Full { .. } => {
                error::status(Code::ResourceExhausted, "BUS_FULL", error.to_string())
            }
            Error::Broker { .. }
            | Error::Silent { .. }
            | Error::Cancelled
            | Error::Unconfirmed
            | Error::NoDeadLetterQueue => {
                error::unavailable("BUS_AWAY", error.to_string(), AWAY_RETRY_AFTER)
            }
            Error::RequestReused => error::request_id_reused(),
            Error::QueueName(_)
            | Error::Topic(_)
            | Error::Lock { .. }
            | Error::Decode { .. }
            | Error::Url => {
                tracing::error!(%error, "the event bus failed");
                error::status(Code::Internal, "INTERNAL", "the event bus failed")
            }
        }
    }
}
