CREATE TABLE notification (
    id            BLOB PRIMARY KEY,
    user_id       BLOB,
    recipient     TEXT NOT NULL,
    subject       TEXT NOT NULL,
    body          TEXT NOT NULL,
    state         INTEGER NOT NULL, -- 1 queued, 2 sent, 3 failed
    event_id      TEXT NOT NULL,
    order_id      TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL,
    sent_at_ms    INTEGER
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX notification_by_event ON notification (event_id) WHERE event_id <> '';
CREATE INDEX notification_by_user ON notification (user_id, id);
CREATE INDEX notification_by_order ON notification (order_id, id) WHERE order_id <> '';
CREATE INDEX notification_unsent ON notification (id) WHERE state = 1;
