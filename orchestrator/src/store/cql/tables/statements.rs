//! Every statement of the tables. Reads and writes are of a quorum each, so that a read sees every write that was answered.

use souk_mesh::cql::statements;

statements! {
    /// The statements, prepared.
    pub(super) struct Statements {
        newest_cursor: Read = "SELECT log_id, slot FROM {}.log_cursor WHERE shelf = ? LIMIT 1";
        cursor: Read = "SELECT slot FROM {}.log_cursor WHERE shelf = ? AND log_id = ?";
        set_cursor: Write = "INSERT INTO {}.log_cursor (shelf, log_id, slot)
            VALUES (?, ?, ?) USING TIMESTAMP ?";

        run: Read = "SELECT row FROM {}.run WHERE run_id = ?";
        set_run: Write = "INSERT INTO {}.run (run_id, workflow_type, state, next_sequence, row)
            VALUES (?, ?, ?, ?, ?) USING TIMESTAMP ?";
        set_run_with_history: Write = "INSERT INTO {}.run
            (run_id, workflow_type, state, next_sequence, row, history)
            VALUES (?, ?, ?, ?, ?, ?) USING TIMESTAMP ?";
        delete_run: Write = "DELETE FROM {}.run USING TIMESTAMP ? WHERE run_id = ?";

        inline_history: Read = "SELECT next_sequence, history FROM {}.run WHERE run_id = ?";
        set_piece: Write = "INSERT INTO {}.history
            (run_id, first_sequence, part, parts, count, packing, bytes)
            VALUES (?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?";
        /// Which chunks begin at or before an event, the last first.
        chunks_until: Read = "SELECT first_sequence, count FROM {}.history
            WHERE run_id = ? AND first_sequence <= ? ORDER BY first_sequence DESC LIMIT ?";
        pieces_from: Read = "SELECT first_sequence, part, parts, count, packing, bytes FROM {}.history
            WHERE run_id = ? AND first_sequence >= ? LIMIT ?";
        pieces_of: Read = "SELECT first_sequence, part, parts, count, packing, bytes FROM {}.history
            WHERE run_id = ? AND first_sequence = ?";
        delete_history: Write = "DELETE FROM {}.history USING TIMESTAMP ? WHERE run_id = ?";

        runs_of_id: Read = "SELECT run_id FROM {}.workflow_id WHERE workflow_id = ? LIMIT ?";
        runs_of_id_before: Read = "SELECT run_id FROM {}.workflow_id
            WHERE workflow_id = ? AND run_id < ? LIMIT ?";
        set_id: Write = "INSERT INTO {}.workflow_id (workflow_id, run_id)
            VALUES (?, ?) USING TIMESTAMP ?";
        /// A run, and all before it.
        clear_id: Write = "DELETE FROM {}.workflow_id USING TIMESTAMP ?
            WHERE workflow_id = ? AND run_id <= ?";

        open_runs: Read = "SELECT run_id FROM {}.open_run
            WHERE partition = ? AND run_id > ? LIMIT ?";
        set_open: Write = "INSERT INTO {}.open_run (partition, run_id) VALUES (?, ?) USING TIMESTAMP ?";
        clear_open: Write = "DELETE FROM {}.open_run USING TIMESTAMP ?
            WHERE partition = ? AND run_id = ?";
        active_runs: Read = "SELECT run_id FROM {}.active_run
            WHERE partition = ? AND run_id > ? LIMIT ?";
        set_active: Write = "INSERT INTO {}.active_run (partition, run_id)
            VALUES (?, ?) USING TIMESTAMP ?";
        clear_active: Write = "DELETE FROM {}.active_run USING TIMESTAMP ?
            WHERE partition = ? AND run_id = ?";

        timers: Read = "SELECT fire_at_ms, run_id, command FROM {}.timer
            WHERE partition = ? AND (fire_at_ms, run_id, command) > (?, ?, ?) LIMIT ?";
        set_timer: Write = "INSERT INTO {}.timer (partition, fire_at_ms, run_id, command)
            VALUES (?, ?, ?, ?) USING TIMESTAMP ?";
        clear_timer: Write = "DELETE FROM {}.timer USING TIMESTAMP ?
            WHERE partition = ? AND fire_at_ms = ? AND run_id = ? AND command = ?";

        listed_before: Read = "SELECT run_id FROM {}.listing
            WHERE workflow_type = ? AND state = ? AND bucket = ? AND shard = ?
            AND run_id >= ? AND run_id < ? ORDER BY run_id DESC LIMIT ?";
        listed_after: Read = "SELECT run_id FROM {}.listing
            WHERE workflow_type = ? AND state = ? AND bucket = ? AND shard = ?
            AND run_id > ? ORDER BY run_id ASC LIMIT ?";
        set_listed: Write = "INSERT INTO {}.listing (workflow_type, state, bucket, shard, run_id)
            VALUES (?, ?, ?, ?, ?) USING TIMESTAMP ?";
        clear_listed: Write = "DELETE FROM {}.listing USING TIMESTAMP ?
            WHERE workflow_type = ? AND state = ? AND bucket = ? AND shard = ? AND run_id = ?";

        buckets_down: Read = "SELECT bucket, workflow_type, state, shard FROM {}.listing_bucket
            WHERE shelf = ? AND bucket <= ? AND bucket >= ? LIMIT ?";
        buckets_up: Read = "SELECT bucket, workflow_type, state, shard, WRITETIME(used)
            FROM {}.listing_bucket
            WHERE shelf = ? AND bucket >= ? AND bucket <= ? ORDER BY bucket ASC LIMIT ?";
        /// Its timestamp is the time, given by the server.
        set_bucket: Write = "INSERT INTO {}.listing_bucket
            (shelf, bucket, workflow_type, state, shard, used) VALUES (?, ?, ?, ?, ?, true)";
        /// As it was when it was read: an entry made since then stays.
        clear_bucket: Write = "DELETE FROM {}.listing_bucket USING TIMESTAMP ?
            WHERE shelf = ? AND bucket = ? AND workflow_type = ? AND state = ? AND shard = ?";
    }
}
