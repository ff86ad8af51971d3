-- What the tables of the variety hold before the first writer comes.

INSERT INTO shop.everything (id) SELECT generate_series(1, 10);
INSERT INTO shop.loose (mark) SELECT g % 8 FROM generate_series(1, 40) g;
INSERT INTO shop.wide (id, v0, v5, v2, v299) SELECT g, g, g, g / 7.0, g % 2 = 0 FROM generate_series(1, 20) g;
INSERT INTO shop.indexed SELECT g, 'code ' || g, 1, g / 3.0, repeat(md5(g::text), 120) FROM generate_series(1, 25) g;
INSERT INTO shop.parts SELECT g, '2024-01-15'::date + g * 11, (ARRAY['north', 'south', 'west'])[1 + g % 3], 'first' FROM generate_series(1, 30) g;
INSERT INTO shop.computed (id, a, b) SELECT g, g, 'b' || g FROM generate_series(1, 20) g;
INSERT INTO shop.keyed VALUES (1.50, 'Name', 'infinity', 0, 'a', '\x00', 1), ('NaN', '', '-infinity', 'NaN', '', '', 2);
INSERT INTO shop.reshaped (id) SELECT generate_series(1, 30);
