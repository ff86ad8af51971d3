-- What the tables hold before the first writer comes.

INSERT INTO shop.accounts (id) SELECT generate_series(1, 60);
INSERT INTO shop.ledger (account, amount, memo) SELECT 1 + g % 60, 1 + g % 7, 'opening' FROM generate_series(1, 600) g;
UPDATE shop.accounts SET balance = (SELECT sum(amount) FROM shop.ledger WHERE account = accounts.id);
INSERT INTO shop.documents (id, title, body) SELECT g, 'document ' || g, repeat(md5(g::text), 200) FROM generate_series(1, 40) g;
INSERT INTO shop.memberships SELECT g % 5, 'member ' || g, 'guest', '2020-01-01' FROM generate_series(1, 100) g;
INSERT INTO shop.events SELECT 'kind ' || g % 9, g % 5, g % 2 = 0, '2024-01-01Z', NULL FROM generate_series(1, 300) g;
INSERT INTO shop.seats (code, price) SELECT 'seat ' || g, g / 3.0 FROM generate_series(1, 100) g;
INSERT INTO shop.profiles SELECT g, 'profile ' || g, '{"theme": "dark"}', repeat(md5(g::text), 150) FROM generate_series(1, 40) g;
INSERT INTO shop.readings SELECT g % 8, g, g / 7.0, 'first' FROM generate_series(1, 800) g;
INSERT INTO shop.evolving (id, note) SELECT g, 'row ' || g FROM generate_series(1, 60) g;
