CREATE TABLE cart (
    user_id       BLOB PRIMARY KEY,
    version       INTEGER NOT NULL,
    items         TEXT NOT NULL, -- JSON, domain::Item
    expires_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX cart_by_expiry ON cart (expires_at_ms);
