//! Every bound of the engine, by name.

/// What one heartbeat tells of a step's progress.
pub const MAX_PROGRESS_BYTES: usize = 16 * 1024;
/// How often progress goes on record during an attempt, in milliseconds, at most.
pub const PROGRESS_EVERY_MS: i64 = 10_000;
/// Length of a workflow id, a signal id or an update id, in bytes.
pub const MAX_ID_BYTES: usize = 256;
/// One payload: an input, an output, a signal, an answer.
pub const MAX_PAYLOAD_BYTES: usize = 512 * 1024;
/// Memory that a thread keeps for writing payloads, and again for writing events.
pub const MAX_KEPT_WRITING_BYTES: usize = 64 * 1024;
/// Steps of one run that are under way at once.
pub const MAX_OPEN_STEPS: usize = 1_000;
/// Timers of one run that are open at once.
pub const MAX_OPEN_TIMERS: usize = 1_000;
/// Signals that one run takes over its life. Their ids are remembered, to recognise repetitions.
pub const MAX_SIGNALS: usize = 10_000;
/// Updates that one run takes over its life.
pub const MAX_UPDATES: usize = 10_000;
/// Children of one run that are open at once.
pub const MAX_OPEN_CHILDREN: usize = 1_000;
/// How deep children may be nested: a run that is nobody's child is at 0.
pub const MAX_CHILD_DEPTH: u32 = 16;
/// The pause before a parent is told again of the end of a child, in milliseconds.
pub const TELL_PARENT_RETRY_MS: u64 = 500;
/// Views that one run publishes.
pub const MAX_VIEWS: usize = 32;
/// Search attributes of one run.
pub const MAX_ATTRIBUTES: usize = 32;
/// The name of a search attribute, in bytes.
pub const MAX_ATTRIBUTE_NAME_BYTES: usize = 64;
/// The text of a search attribute, in bytes.
pub const MAX_ATTRIBUTE_TEXT_BYTES: usize = 256;
/// Observations (results, signals, timers …) after which a run's history counts as long: about twice as many events.
pub const LONG_HISTORY_OBSERVATIONS: u64 = 5_000;
/// Bytes of events after which a run's history counts as long, too.
pub const LONG_HISTORY_BYTES: u64 = 8 * 1024 * 1024;
/// Rounds of a workflow that may end one behind the other without anything having come or been awaited.
pub const MAX_IDLE_ROUNDS: u32 = 1_000;
/// Answers to updates that one turn of a run hands to the next, the last that were given.
pub const MAX_CARRIED_UPDATES: usize = 200;
/// The bytes of these answers, at most.
pub const MAX_CARRIED_UPDATE_BYTES: usize = 256 * 1024;
/// Bytes of signals of one run that nobody has taken: they are in memory, and go along from turn to turn.
pub const MAX_UNREAD_BYTES: usize = 8 * 1024 * 1024;
/// Observations after each of which the log warns of a run that does not continue as new: it only takes longer and
/// longer to come back from disk.
pub const WARN_OBSERVATIONS: u64 = 500_000;
/// Ids of signals that one turn of a run hands to the next, the last that came.
pub const MAX_CARRIED_SIGNAL_IDS: usize = 1_000;
/// Starts under one workflow id whose repetitions are recognised: the last that began a run each.
pub const MAX_REMEMBERED_STARTS: usize = 32;
/// Runs under one workflow id that are looked through for the end of one of them.
pub const MAX_TURNS_WALKED: usize = 100_000;
/// Turns of a run through which one caller is led on.
pub const MAX_TURNS_FOLLOWED: usize = 1_000;
/// How often a workflow is polled for one event before it counts as spinning.
pub const MAX_POLLS_PER_EVENT: usize = 1_000;
/// Steps of the part of a history that a reset drops.
pub const MAX_DROPPED_STEPS: usize = 10_000;
/// Bytes of a history that is reset: the part that is kept is written again, in one commit.
pub const MAX_RESET_BYTES: usize = 32 * 1024 * 1024;
/// How often a reset is tried anew when the run goes on, or another takes its place, while it is looked at.
pub const MAX_RESET_TRIES: usize = 20;
/// Decisions that a workflow may make for one event.
pub const MAX_DECISIONS_PER_EVENT: usize = 4_000;

/// Bytes of one slot of the log; a single larger commit still gets a slot of its own.
pub const MAX_SLOT_BYTES: usize = 4 * 1024 * 1024;
/// Commits that wait for the log before new work is refused.
pub const MAX_WAITING_COMMITS: usize = 65_536;
/// Bytes that wait for the log before new work is refused.
pub const MAX_WAITING_BYTES: usize = 64 * 1024 * 1024;
/// Bytes of the log that are not in the tables yet, before new starts are refused.
pub const MAX_UNDRAINED_BYTES: u64 = 512 * 1024 * 1024;
/// Runs with events that are not in the tables yet, before new starts are refused: none of them can leave memory.
pub const MAX_UNDRAINED_RUNS: usize = 50_000;
/// Runs in memory before new starts are refused.
pub const MAX_LOADED_RUNS: usize = 400_000;
/// How long a refused caller should wait, in milliseconds.
pub const OVERLOAD_RETRY_MS: u64 = 200;
/// Tries of one append whose outcome stays unknown, before the node gives up its log.
pub const MAX_APPEND_TRIES: u32 = 20;
/// The same for a log in a store that is a journey away: more than an hour of tries. Others notice a node that only it
/// keeps silent within seconds, and seal its log.
pub const MAX_DISTANT_APPEND_TRIES: u32 = 36_000;
/// Pause between two such tries, in milliseconds.
pub const APPEND_RETRY_MS: u64 = 100;
/// How long a slot gathers at most while others are under way, in milliseconds.
pub const LONGEST_GATHER_MS: u64 = 10;
/// Effects that one task releases after a slot has become durable.
pub const EFFECTS_PER_TASK: usize = 8;

/// Runs that one drain step changes.
pub const MAX_RUNS_PER_DRAIN: usize = 2_000;
/// Bytes of the log that one drain step covers, about.
pub const MAX_BYTES_PER_DRAIN: usize = 8 * 1024 * 1024;
/// Bytes of the log that are drained before their delay is over.
pub const DRAIN_EARLY_BYTES: u64 = 64 * 1024 * 1024;
/// Runs that are drained before their delay is over.
pub const DRAIN_EARLY_RUNS: usize = 20_000;
/// Pause after a failed drain step, in milliseconds.
pub const DRAIN_RETRY_MS: u64 = 500;
/// Drained bytes after which the tables are synced and the log is trimmed.
pub const TRIM_EVERY_BYTES: u64 = 16 * 1024 * 1024;

/// Bytes that one read of the log or of a history returns, about.
pub const READ_BYTES: usize = 4 * 1024 * 1024;
/// Bytes of a history that one read of a replay takes into memory, about: as they are stored, at least one chunk.
pub const REPLAY_READ_BYTES: usize = 512 * 1024;
/// Rows that one page of a scan or a list returns.
pub const MAX_PAGE_ROWS: usize = 1_000;
/// Rows that one page of a list reads at most to find those that the filter means.
pub const MAX_SCANNED_ROWS: usize = 5_000;
/// Pages of a list that one count reads.
pub const MAX_COUNTED_PAGES: usize = 10;
/// Bytes of a filter.
pub const MAX_FILTER_BYTES: usize = 4_096;
/// How deep a filter is nested.
pub const MAX_FILTER_DEPTH: usize = 32;
/// Comparisons in a filter.
pub const MAX_FILTER_COMPARISONS: usize = 200;
/// How long before or after the first event of a run its id may have been made, in milliseconds, to be found by the
/// time of its start: a child's id is made with its parent's decision, a next turn's may be ahead of a clock set back.
pub const START_SLACK_MS: i64 = 3_600_000;
/// Runs that are loaded side by side after a restart.
pub const RECOVERY_CONCURRENCY: usize = 64;

/// Timers further away than this are found again by a scan of the tables, in milliseconds.
pub const TIMER_HORIZON_MS: i64 = 60_000;
/// The pause between two scans of the tables for timers, in milliseconds, at least. Well below the horizon.
pub const TIMER_SCAN_EVERY_MS: i64 = 15_000;
/// The same, at most: so long may a scan sleep where no timer is due.
pub const TIMER_SCAN_AT_LATEST_MS: i64 = 3_600_000;
/// How often it is looked whether the clock has jumped ahead while all timers were far away, in milliseconds.
pub const CLOCK_CHECK_EVERY_MS: i64 = 600_000;
/// Timers in memory; those beyond wait for a later scan.
pub const MAX_TIMERS_IN_MEMORY: usize = 1_000_000;
/// Timers that are fired side by side: overdue ones are paced by it.
pub const TIMER_FIRE_CONCURRENCY: usize = 256;
/// The pause between two looks for idle runs, in milliseconds, at least.
pub const EVICT_EVERY_MS: u64 = 1_000;
/// Idle runs beyond those that may be in memory, from which on they leave without such a pause.
pub const EVICT_AT_ONCE: usize = 256;

/// How often a node says that it is alive, in milliseconds.
pub const BEAT_EVERY_MS: u64 = 1_000;
/// How long one such word, or one look at the record of nodes, may take, in milliseconds.
pub const MEMBERSHIP_LIMIT_MS: u64 = 2_000;
/// A node that has not been heard of for so long is dead to the others, in milliseconds of their steady clocks.
pub const LEASE_MS: u64 = 6_000;
/// A node that could not say for so long that it is alive answers nothing from its memory, in milliseconds. Well below
/// [`LEASE_MS`], for clocks may run at rates that differ a little.
pub const CERTAIN_MS: u64 = 4_500;
/// How often a node looks at the record of nodes, in milliseconds.
pub const LOOK_EVERY_MS: u64 = 1_000;
/// The same while partitions are on their way.
pub const LOOK_SOON_MS: u64 = 100;
/// Looks further apart than this say nothing about how long a beat has stood still, in milliseconds.
pub const MAX_LOOK_GAP_MS: u64 = 3_000;
/// How much later each further node tries to take a dead one's log over, in milliseconds: the first may be dead too.
pub const TAKEOVER_STAGGER_MS: u64 = 2_000;
/// Partitions that are claimed or handed over in one change.
pub const MAX_MOVES_AT_ONCE: usize = 16;
/// How long the runs of partitions that are handed over may take to come to rest in the tables, in milliseconds. Then the
/// node keeps them for now.
pub const HANDOVER_LIMIT_MS: u64 = 5_000;
/// How often it is looked whether they have, in milliseconds.
pub const HANDOVER_LOOK_MS: u64 = 5;
/// How long a sealed node stays on record, in milliseconds, by the clock of whoever forgets it.
pub const FORGET_AFTER_MS: u64 = 3_600_000;
/// Tries of a node to get a log of its own, before it gives up.
pub const MAX_JOIN_TRIES: u32 = 10;
/// The pause before children that could not be looked at are looked at again, in milliseconds.
pub const CHILDREN_RETRY_MS: u64 = 2_000;

/// How long closed runs are kept unless the configuration says otherwise, in days.
pub const RETENTION_DAYS: u64 = 30;
/// The pause between two sweeps for closed runs that are old enough to be deleted, in milliseconds.
pub const EXPIRE_EVERY_MS: u64 = 3_600_000;
/// Closed runs that one step of such a sweep looks at.
pub const MAX_RUNS_PER_EXPIRE: usize = 500;
/// The pause between two such steps, in milliseconds.
pub const EXPIRE_PAUSE_MS: u64 = 20;
/// How often it is looked which runs do not get on, in milliseconds.
pub const WATCH_EVERY_MS: u64 = 15_000;
/// The same where none was seen and nothing fails, at most.
pub const WATCH_AT_LATEST_MS: u64 = 3_600_000;

// Who takes a node for dead does so well after that node has fallen silent by its own clock.
const _: () = assert!(CERTAIN_MS + BEAT_EVERY_MS <= LEASE_MS && MAX_LOOK_GAP_MS < LEASE_MS);
// A run in rounds continues as new long before a turn has taken all the messages that it may.
const _: () = assert!(
    LONG_HISTORY_OBSERVATIONS as usize + MAX_CARRIED_SIGNAL_IDS < MAX_SIGNALS
        && LONG_HISTORY_OBSERVATIONS as usize + MAX_CARRIED_UPDATES < MAX_UPDATES
);
