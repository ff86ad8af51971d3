-- The tables of the variety whose columns are not those of the page of types.

ALTER TABLE shop.loose REPLICA IDENTITY FULL;

-- Its identity is one of these indexes, its key, or the whole row: it changes while rows do.
CREATE TABLE shop.indexed (id int PRIMARY KEY, code text NOT NULL, part int NOT NULL, amount numeric, body text);
CREATE UNIQUE INDEX indexed_code ON shop.indexed (code);
CREATE UNIQUE INDEX indexed_pair ON shop.indexed (part, id);
ALTER TABLE shop.indexed REPLICA IDENTITY USING INDEX indexed_code;
ALTER TABLE shop.indexed ALTER body SET STORAGE EXTERNAL;

CREATE TABLE shop.parts (id int, day date, region text, note text, PRIMARY KEY (id, day, region)) PARTITION BY RANGE (day);
CREATE TABLE shop.parts_early PARTITION OF shop.parts FOR VALUES FROM (MINVALUE) TO ('2024-06-01');
CREATE TABLE shop.parts_later PARTITION OF shop.parts FOR VALUES FROM ('2024-06-01') TO (MAXVALUE) PARTITION BY LIST (region);
-- Its columns stand in another order and one of them is gone.
CREATE TABLE shop.parts_north (gone int, note text, region text NOT NULL, day date NOT NULL, id int NOT NULL);
ALTER TABLE shop.parts_north DROP gone;
ALTER TABLE shop.parts_later ATTACH PARTITION shop.parts_north FOR VALUES IN ('north');
CREATE TABLE shop.parts_rest PARTITION OF shop.parts_later FOR VALUES IN ('south', 'west');

CREATE TABLE shop.computed (
    id int PRIMARY KEY, twice bigint GENERATED ALWAYS AS (a * 2) STORED, a int, b text,
    shout text GENERATED ALWAYS AS (upper(b)) STORED
);

CREATE TABLE shop.keyed (
    amount numeric, name citext, at timestamptz, ratio double precision, code char(4), bytes bytea, n int,
    PRIMARY KEY (amount, name, at, ratio, code, bytes)
);

-- Nothing but inserts, so that it may say nothing of what identifies its rows.
CREATE TABLE shop.kept (id int PRIMARY KEY, note text);

CREATE TABLE shop.reshaped (
    id int PRIMARY KEY, tenant int NOT NULL DEFAULT 1, note text, amount int DEFAULT 21, extra text DEFAULT 'x', second text DEFAULT 'y'
);
