CREATE TABLE user (
    id            BLOB PRIMARY KEY,
    email         TEXT NOT NULL UNIQUE,
    display_name  TEXT NOT NULL,
    is_staff      INTEGER NOT NULL,
    password_hash TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL,
    updated_at_ms INTEGER NOT NULL,
    version       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE address (
    id            BLOB PRIMARY KEY,
    user_id       BLOB NOT NULL REFERENCES user (id),
    label         TEXT NOT NULL,
    postal        BLOB NOT NULL, -- souk.user.v1.PostalAddress
    is_default    INTEGER NOT NULL,
    created_at_ms INTEGER NOT NULL,
    updated_at_ms INTEGER NOT NULL,
    version       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX address_by_user ON address (user_id, id);
CREATE UNIQUE INDEX default_address ON address (user_id) WHERE is_default;
