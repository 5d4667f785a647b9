-- Ids are 16 bytes, times unix milliseconds, money minor units.
CREATE TABLE category (
    category_id   BLOB NOT NULL UNIQUE,
    slug          TEXT NOT NULL UNIQUE,
    name          TEXT NOT NULL,
    parent_id     BLOB REFERENCES category (category_id),
    created_at_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX category_by_name ON category (name, category_id);

CREATE TABLE product (
    product_id    BLOB NOT NULL UNIQUE,
    sku           TEXT NOT NULL UNIQUE,
    name          TEXT NOT NULL,
    description   TEXT NOT NULL,
    category_id   BLOB NOT NULL REFERENCES category (category_id),
    price_minor   INTEGER NOT NULL CHECK (price_minor > 0),
    currency      TEXT NOT NULL,
    picture       TEXT NOT NULL,
    archived      INTEGER NOT NULL,
    version       INTEGER NOT NULL,
    -- Counts the events about the product, which also tell of stock that ran out or came back.
    event_version INTEGER NOT NULL,
    created_at_ms INTEGER NOT NULL,
    updated_at_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX product_by_name ON product (name, product_id);
CREATE INDEX product_by_category ON product (category_id, name, product_id);

-- Apart from product: small rows that change with every order.
CREATE TABLE stock (
    product_id    BLOB NOT NULL PRIMARY KEY,
    on_hand       INTEGER NOT NULL,
    reserved      INTEGER NOT NULL CHECK (reserved >= 0),
    version       INTEGER NOT NULL,
    updated_at_ms INTEGER NOT NULL,
    CHECK (on_hand >= reserved)
) STRICT, WITHOUT ROWID;

-- state: 1 held, 2 committed, 3 released, 4 expired, 5 tombstone (undone before it was made).
-- lines: 20 bytes each: product id, then quantity as big-endian u32.
CREATE TABLE reservation (
    reservation_id BLOB NOT NULL UNIQUE,
    order_id       BLOB NOT NULL,
    lines          BLOB NOT NULL,
    state          INTEGER NOT NULL CHECK (state BETWEEN 1 AND 5),
    until_ms       INTEGER NOT NULL,
    version        INTEGER NOT NULL
) STRICT;
-- What the sweeper looks for: holds that run out, tombstones that may go. Two, because SQLite does
-- not see that state = 1 implies state IN (1, 5).
CREATE INDEX reservation_held ON reservation (until_ms) WHERE state = 1;
CREATE INDEX reservation_undone ON reservation (until_ms) WHERE state = 5;
