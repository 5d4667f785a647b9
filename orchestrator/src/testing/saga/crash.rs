//! The process dies at every append.

use crate::engine::log::sim::{Fault as DiskFault, Operation, Unsynced};
use crate::engine::row::RunState;

use super::{Finding, Finished, Subject, Trio};

/// A death of the process.
#[derive(Clone, Debug)]
pub struct Death {
    /// At which append to the log, counted from 0 since the process has begun.
    pub at_append: u64,
    /// When: before the write, between it and its sync, or before anyone learns of it.
    pub fault: DiskFault,
    /// What becomes of what was not synced.
    pub unsynced: Unsynced,
}

/// The ways of dying that [`Trio::every_crash`] tries.
pub const DEATHS: [(DiskFault, Unsynced); 4] = [
    (DiskFault::CrashBefore, Unsynced::Lost),
    (DiskFault::CrashDuring, Unsynced::Lost),
    (DiskFault::CrashDuring, Unsynced::Kept),
    (DiskFault::CrashAfter, Unsynced::Lost),
];

/// More appends than one run is tried at.
const MAX_APPENDS: u64 = 10_000;

impl<S, M> Trio<M>
where
    S: Subject,
    M: AsyncFn() -> S,
{
    /// The process dies at every append, in every way, and the next one finishes what was begun: the run ends as it does
    /// undisturbed, and nothing that was promised before is lost. Faults that `make` sets stay in force, so sagas that
    /// are undone are crashed, too. Returns at how many points it died.
    ///
    /// # Errors
    /// What was lost, is left, or was done twice.
    pub async fn every_crash(&self) -> Result<usize, Finding> {
        let expected = self.expected().await?;
        let mut points = 0;
        for (fault, unsynced) in DEATHS {
            for at_append in 0..MAX_APPENDS {
                let death = Death { at_append, fault: fault.clone(), unsynced };
                if !self.die(expected, &[death]).await? {
                    break;
                }
                points += 1;
            }
        }
        Ok(points)
    }

    /// Like [`Trio::every_crash`], with deaths that the test plans: for each plan a run, whose process dies again and
    /// again. Returns in how many runs each planned death came.
    ///
    /// # Errors
    /// What was lost, is left, or was done twice.
    pub async fn crashes(
        &self,
        plans: impl IntoIterator<Item = Vec<Death>>,
    ) -> Result<usize, Finding> {
        let expected = self.expected().await?;
        let mut complete = 0;
        for plan in plans {
            complete += usize::from(self.die(expected, &plan).await?);
        }
        Ok(complete)
    }

    /// How the run ends if nobody dies.
    async fn expected(&self) -> Result<RunState, Finding> {
        let told = "undisturbed";
        let finished = self.run(told, |_| {}, &[]).await?;
        finished.check_like(finished.state, told)?;
        Ok(finished.state)
    }

    /// One run whose process dies as planned. Whether each death came.
    async fn die(&self, expected: RunState, plan: &[Death]) -> Result<bool, Finding> {
        let told = told(plan);
        let mut subject = (self.make)().await;
        let mut has_died = true;
        for death in plan {
            let disk = subject.environment().disk.clone();
            let at = disk.count(Operation::Append) + death.at_append;
            disk.inject(Operation::Append, at, death.fault.clone());
            has_died &= tokio::select! {
                biased;
                () = disk.crashed() => true,
                played = self.play(&mut subject, &told) => {
                    played?;
                    false
                }
            };
            let environment = subject.environment();
            environment.restart(death.unsynced).await;
            if let Err(lost) = environment.check_promises().await {
                return Err(self.finding(environment, &told, &lost).await);
            }
        }
        self.play(&mut subject, &told).await?;
        self.finish(subject, &told).await?.check_like(expected, &told)?;
        Ok(has_died)
    }
}

impl<S: Subject> Finished<S> {
    /// Holds a run against how it ends undisturbed.
    fn check_like(&self, expected: RunState, told: &str) -> Result<(), Finding> {
        if self.state != expected {
            let (state, expected) = (self.state.name(), expected.name());
            let problem = format!("the run is {state}; undisturbed, it is {expected}");
            return Err(self.finding(told, &problem));
        }
        match expected {
            RunState::Completed => self.check_done(told),
            _ => self.check_undone(told),
        }
    }
}

fn told(plan: &[Death]) -> String {
    let deaths = plan.iter().map(|death| {
        let Death { at_append, fault, unsynced } = death;
        format!(
            "the process dies at append {at_append} ({fault:?}, what is unsynced: {unsynced:?})"
        )
    });
    deaths.collect::<Vec<_>>().join(", then ")
}
