CREATE TABLE session (
    user_id       BLOB NOT NULL,
    id            BLOB NOT NULL,
    token         BLOB NOT NULL, -- SHA-256 of the token that works
    former_token  BLOB,          -- SHA-256 of the one that it took the place of
    renewed_at_ms INTEGER NOT NULL,
    expires_at_ms INTEGER NOT NULL,
    PRIMARY KEY (user_id, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX session_by_end ON session (expires_at_ms);
