//! Equal requests at once travel as one: the first does the work, the others wait for its answer.
//!
//! This only saves work. That a request id makes one order is the store's promise, which holds across
//! processes and restarts; this holds for what one process has in hand right now.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::Error;
use crate::store::RequestKey;

/// Most different requests in hand at once; more are refused and may be tried again.
pub const MAX_FLIGHTS: usize = 16_384;

type Id = (String, String);

struct Flight<T> {
    fingerprint: [u8; 32],
    answer: watch::Receiver<Option<T>>,
}

/// The requests in hand. Clones share them.
pub struct Flights<T> {
    flights: Arc<Mutex<HashMap<Id, Flight<T>>>>,
}

impl<T> Clone for Flights<T> {
    fn clone(&self) -> Self {
        Flights { flights: Arc::clone(&self.flights) }
    }
}

impl<T> Default for Flights<T> {
    fn default() -> Self {
        Flights { flights: Arc::default() }
    }
}

/// A place on a flight.
pub enum Seat<T> {
    /// Nobody is doing this yet: do it, and land with the answer.
    Pilot(Pilot<T>, Passenger<T>),
    /// Somebody is: wait.
    Passenger(Passenger<T>),
}

/// Whoever does the work. Dropped without landing (a panic), the passengers are told that it is off.
pub struct Pilot<T> {
    flights: Flights<T>,
    id: Id,
    answer: watch::Sender<Option<T>>,
}

/// Whoever waits for the answer.
pub struct Passenger<T>(watch::Receiver<Option<T>>);

impl<T: Clone> Flights<T> {
    /// A seat on the flight of this request.
    ///
    /// # Errors
    /// [`Error::RequestIdReused`] when the id is in hand with other parameters;
    /// [`Error::Overloaded`] beyond [`MAX_FLIGHTS`].
    pub fn board(&self, key: &RequestKey) -> Result<Seat<T>, Error> {
        let id = (key.scope.clone(), key.request_id.clone());
        let mut flights = self.flights.lock();
        let in_hand = flights.len();
        match flights.entry(id) {
            Entry::Occupied(flight) if flight.get().fingerprint != key.fingerprint => {
                Err(Error::RequestIdReused)
            }
            Entry::Occupied(flight) => Ok(Seat::Passenger(Passenger(flight.get().answer.clone()))),
            Entry::Vacant(_) if in_hand >= MAX_FLIGHTS => Err(Error::Overloaded),
            Entry::Vacant(vacant) => {
                let (answer, wait) = watch::channel(None);
                let id = vacant.key().clone();
                let flight = Flight { fingerprint: key.fingerprint, answer: wait.clone() };
                vacant.insert(flight);
                let pilot = Pilot { flights: self.clone(), id, answer };
                Ok(Seat::Pilot(pilot, Passenger(wait)))
            }
        }
    }
}

impl<T> Pilot<T> {
    /// Gives everyone on board the answer, and everyone who boards before this pilot is dropped.
    pub fn land(&self, answer: T) {
        self.answer.send_replace(Some(answer));
    }
}

impl<T> Drop for Pilot<T> {
    fn drop(&mut self) {
        self.flights.flights.lock().remove(&self.id);
    }
}

impl<T: Clone> Passenger<T> {
    /// The answer.
    ///
    /// # Errors
    /// [`Error::Stopping`] when the work ended without one.
    pub async fn arrive(mut self) -> Result<T, Error> {
        let answer = self.0.wait_for(Option::is_some).await.map_err(|_| Error::Stopping)?;
        answer.clone().ok_or(Error::Stopping)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(fingerprint: u8) -> RequestKey {
        RequestKey {
            scope: "user".into(),
            method: "PlaceOrder",
            request_id: "r".into(),
            fingerprint: [fingerprint; 32],
        }
    }

    #[tokio::test]
    async fn one_works_and_all_get_its_answer() {
        let flights = Flights::<u32>::default();
        let Ok(Seat::Pilot(pilot, first)) = flights.board(&key(1)) else { panic!("no pilot") };
        let Ok(Seat::Passenger(second)) = flights.board(&key(1)) else { panic!("two pilots") };
        assert!(matches!(flights.board(&key(2)), Err(Error::RequestIdReused)));
        pilot.land(7);
        let Ok(Seat::Passenger(late)) = flights.board(&key(1)) else { panic!("two pilots") };
        assert_eq!(late.arrive().await.unwrap(), 7);
        drop(pilot);
        assert_eq!(first.arrive().await.unwrap(), 7);
        assert_eq!(second.arrive().await.unwrap(), 7);
        assert!(matches!(flights.board(&key(2)), Ok(Seat::Pilot(..))), "the id is free again");
    }

    #[tokio::test]
    async fn a_flight_that_never_lands_strands_nobody() {
        let flights = Flights::<u32>::default();
        let Ok(Seat::Pilot(pilot, passenger)) = flights.board(&key(1)) else { panic!("no pilot") };
        drop(pilot);
        assert!(matches!(passenger.arrive().await, Err(Error::Stopping)));
        assert!(matches!(flights.board(&key(1)), Ok(Seat::Pilot(..))));
    }
}
