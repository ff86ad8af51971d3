-- Makes the data and the load. Everything is decided by hashes of ids, so the same calls give the same rows on any machine;
-- only the times differ.
--
--   CALL generator.fill(orders => 100000);                            -- what was there before
--   CALL generator.run(duration => '1 hour', minutes_per_second => 5); -- a working day, five minutes of it each second
--
-- It has a schema of its own: `operations.*` is what gets replicated.

CREATE SCHEMA generator;

-- The load's own time, in minutes since it began; `run` goes on from here.
CREATE TABLE generator.clock (minute bigint PRIMARY KEY);
INSERT INTO generator.clock VALUES (0);

-- A number in 0 .. n-1 that depends on the key and the salt alone.
CREATE FUNCTION generator.pick(key bigint, salt bigint, n bigint) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (hashint8extended(key, salt) & 9223372036854775807) % n;

CREATE FUNCTION generator.customer_name(customer_id bigint) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (ARRAY ['Ada', 'Bruno', 'Chioma', 'Daan', 'Elif', 'Farid', 'Grete', 'Hana', 'Ivo', 'Jun', 'Kofi', 'Lena', 'Mateo',
                   'Noor', 'Olga', 'Priya'])[1 + generator.pick(customer_id, 1, 16)]
        || ' ' ||
        (ARRAY ['Almeida', 'Bergström', 'Costa', 'Dvořák', 'Eriksen', 'Fischer', 'Gómez', 'Haddad', 'Ito', 'Jansen', 'Kaya',
                'Lambert', 'Mensah', 'Novák', 'Okafor', 'Pereira'])[1 + generator.pick(customer_id, 2, 16)];

CREATE FUNCTION generator.address(customer_id bigint, salt bigint) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN 1 + generator.pick(customer_id, salt, 240) || ' '
        || (ARRAY ['Mill Lane', 'Harbour Street', 'Station Road', 'Orchard Way', 'Rua do Moinho', 'Mühlgasse', 'Kanaalweg',
                   'Calle del Molino'])[1 + generator.pick(customer_id, salt + 1, 8)];

CREATE FUNCTION generator.product_name(product_id bigint) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (ARRAY ['Small', 'Large', 'Light', 'Sturdy', 'Plain', 'Painted', 'Folding', 'Waterproof'])
            [1 + generator.pick(product_id, 3, 8)]
        || ' ' ||
        (ARRAY ['crate', 'lamp', 'bucket', 'ladder', 'chair', 'kettle', 'shelf', 'basket', 'clock', 'blanket'])
            [1 + generator.pick(product_id, 4, 10)]
        || ' no. ' || product_id;

-- Price in cents at a version of the product: it moves, and never far.
CREATE FUNCTION generator.unit_price(product_id bigint, version bigint) RETURNS decimal
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (199 + generator.pick(product_id, 5, 20000)) * (95 + generator.pick(product_id + version, 6, 11)) / 100 / 100.0;

-- Who orders: some customers far more often than others, the low ids most.
CREATE FUNCTION generator.customer_of(order_id bigint, customers bigint) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN 1 + generator.pick(order_id, 14, 1 + generator.pick(order_id, 27, customers));

-- Where an order of the past ended. One in two hundred was cancelled.
CREATE FUNCTION generator.settled_status(order_id bigint) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN generator.pick(order_id, 7, 200) = 0 THEN 'CANCELLED' ELSE 'COMPLETED' END;

-- Where an order that is in flight stands.
CREATE FUNCTION generator.flying_status(order_id bigint) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (ARRAY ['OPEN', 'OPEN', 'OPEN', 'PENDING', 'PENDING', 'PENDING', 'PROCESSING', 'REPROCESSING'])
        [1 + generator.pick(order_id, 8, 8)];

-- Fills the four empty tables: `orders` orders of 1 to 25 items, a customer for every ten orders, a thousand products.
-- The last twentieth of the orders is still in flight. They were taken in the 90 days up to `today`. Three quarters of the customers had come in the
-- year before, the others came meanwhile, and nobody orders before they came.
CREATE PROCEDURE generator.fill(orders bigint DEFAULT 100000, today date DEFAULT current_date)
    LANGUAGE plpgsql AS
$$
DECLARE
    customers_known bigint := greatest(orders / 10, 10);
    products_known bigint := 1000;
    began date := today - 90;
    customers_before bigint := customers_known * 3 / 4;
    customers_since bigint := customers_known - customers_before;
BEGIN
    INSERT INTO operations.customers (customer_id, customer_name, is_active, customer_address, created_at)
    SELECT id, generator.customer_name(id), generator.pick(id, 9, 50) > 0, generator.address(id, 10),
           CASE WHEN id <= customers_before THEN began - 365 + (id * 365 / customers_before)::int
                ELSE began + ((id - customers_before) * 90 / customers_since)::int END
    FROM generate_series(1, customers_known) AS id;

    INSERT INTO operations.products (product_id, product_name, barcode, unit_price, is_active, created_at)
    SELECT id, generator.product_name(id), lpad((4000000000000 + id * 7919)::text, 13, '0'), generator.unit_price(id, 0),
           generator.pick(id, 12, 50) > 0, began
    FROM generate_series(1, products_known) AS id;

    INSERT INTO operations.orders (order_id, order_date, delivery_date, customer_id, status, created_at)
    SELECT id, day, day + 1 + generator.pick(id, 13, 14)::int,
           generator.customer_of(id, customers_before + customers_since * id / orders),
           CASE WHEN id <= orders - orders / 20 THEN generator.settled_status(id) ELSE generator.flying_status(id) END, day
    FROM generate_series(1, orders) AS id, LATERAL (SELECT today - 90 + (id * 90 / orders)::int AS day) AS taken;

    INSERT INTO operations.order_items (order_id, product_id, quantity, created_at)
    SELECT id, 1 + generator.pick(id * 25 + line, 15, products_known), 1 + generator.pick(id * 25 + line, 16, 10), began
    FROM generate_series(1, orders) AS id, generate_series(1, 1 + generator.pick(id, 17, 25)) AS line;

    PERFORM setval(pg_get_serial_sequence('operations.customers', 'customer_id'), customers_known);
    PERFORM setval(pg_get_serial_sequence('operations.products', 'product_id'), products_known);
    PERFORM setval(pg_get_serial_sequence('operations.orders', 'order_id'), greatest(orders, 1));
END
$$;

-- Takes `count` orders of up to 25 items, each in a transaction of its own, as an application would.
CREATE PROCEDURE generator.place_orders(count integer DEFAULT 100)
    LANGUAGE plpgsql AS
$$
DECLARE
    id bigint;
    -- The generated ids are dense, so a pick below the sequence's value is a customer (or one that was deleted: no foreign keys).
    customers_known bigint := (SELECT last_value FROM operations.customers_customer_id_seq);
    products_known bigint := (SELECT last_value FROM operations.products_product_id_seq);
BEGIN
    FOR _ IN 1..count LOOP
        id := nextval('operations.orders_order_id_seq');
        INSERT INTO operations.orders (order_id, order_date, delivery_date, customer_id, status)
        VALUES (id, current_date, current_date + 1 + generator.pick(id, 13, 14)::int, generator.customer_of(id, customers_known),
                CASE WHEN generator.pick(id, 18, 3) = 0 THEN 'PENDING' ELSE 'OPEN' END);
        INSERT INTO operations.order_items (order_id, product_id, quantity)
        SELECT id, 1 + generator.pick(id * 25 + line, 15, products_known), 1 + generator.pick(id * 25 + line, 16, 10)
        FROM generate_series(1, 1 + generator.pick(id, 17, 25)) AS line;
        COMMIT;
    END LOOP;
END
$$;

-- Moves a twentieth of the orders in each status one step on, the oldest first, each status in a transaction of its own:
-- OPEN → PENDING → PROCESSING → COMPLETED, some PROCESSING → REPROCESSING → COMPLETED, a few OPEN → CANCELLED. So with 100 new
-- orders a minute about 1,300 are open and 2,000 pending at any time.
-- A cancelled order loses its items: those are the hard deletes.
CREATE PROCEDURE generator.advance_orders()
    LANGUAGE plpgsql AS
$$
DECLARE
    stage text;
    due bigint;
BEGIN
    -- The last stage first, so that no order moves twice in one call.
    FOREACH stage IN ARRAY ARRAY ['REPROCESSING', 'PROCESSING', 'PENDING', 'OPEN'] LOOP
        due := (SELECT ceil(count(*) / 20.0) FROM operations.orders
                WHERE status = stage AND status NOT IN ('COMPLETED', 'CANCELLED'));
        WITH chosen AS (
            SELECT order_id FROM operations.orders
            WHERE status = stage AND status NOT IN ('COMPLETED', 'CANCELLED')
            ORDER BY order_id LIMIT due FOR UPDATE SKIP LOCKED
        ), moved AS (
            UPDATE operations.orders SET
                status = CASE
                    WHEN stage = 'REPROCESSING' THEN 'COMPLETED'
                    WHEN stage = 'PROCESSING' AND generator.pick(order_id, 19, 10) = 0 THEN 'REPROCESSING'
                    WHEN stage = 'PROCESSING' THEN 'COMPLETED'
                    WHEN stage = 'PENDING' THEN 'PROCESSING'
                    WHEN generator.pick(order_id, 20, 25) = 0 THEN 'CANCELLED'
                    ELSE 'PENDING'
                END,
                updated_at = clock_timestamp(), updated_by = current_user
            WHERE order_id IN (SELECT order_id FROM chosen)
            RETURNING order_id, status
        )
        DELETE FROM operations.order_items
        WHERE order_id IN (SELECT order_id FROM moved WHERE status = 'CANCELLED');
        COMMIT;
    END LOOP;
END
$$;

-- Customers move house, become inactive (a soft delete) and active again; one is new. Now and then one is deleted for good.
CREATE PROCEDURE generator.change_customers(minute bigint)
    LANGUAGE plpgsql AS
$$
DECLARE
    customers_known bigint := (SELECT last_value FROM operations.customers_customer_id_seq);
BEGIN
    UPDATE operations.customers SET
        customer_address = generator.address(customer_id, 21 + minute),
        is_active = generator.pick(customer_id, 22 + minute, 10) > 0,
        updated_at = clock_timestamp(), updated_by = current_user
    WHERE customer_id IN (SELECT 1 + generator.pick(minute * 10 + n, 23, customers_known) FROM generate_series(1, 10) AS n);
    INSERT INTO operations.customers (customer_id, customer_name, customer_address)
    SELECT id, generator.customer_name(id), generator.address(id, 10)
    FROM nextval('operations.customers_customer_id_seq') AS id;
    IF minute % 10 = 0 THEN
        DELETE FROM operations.customers WHERE customer_id = 1 + generator.pick(minute, 24, customers_known);
    END IF;
    COMMIT;
END
$$;

-- Prices move, products are taken off the list and put back; one is new.
CREATE PROCEDURE generator.change_products(minute bigint)
    LANGUAGE plpgsql AS
$$
DECLARE
    products_known bigint := (SELECT last_value FROM operations.products_product_id_seq);
BEGIN
    UPDATE operations.products SET
        unit_price = generator.unit_price(product_id, minute),
        is_active = generator.pick(product_id, 25 + minute, 20) > 0,
        updated_at = clock_timestamp(), updated_by = current_user
    WHERE product_id IN (SELECT 1 + generator.pick(minute * 10 + n, 26, products_known) FROM generate_series(1, 10) AS n);
    INSERT INTO operations.products (product_id, product_name, barcode, unit_price)
    SELECT id, generator.product_name(id), lpad((4000000000000 + id * 7919)::text, 13, '0'), generator.unit_price(id, 0)
    FROM nextval('operations.products_product_id_seq') AS id;
    COMMIT;
END
$$;

-- The working day: every minute 100 orders are taken and others move on; every second minute customers and
-- products change. With `minutes_per_second` above 1/60 the day passes faster than on the wall.
CREATE PROCEDURE generator.run(duration interval DEFAULT '100 years', minutes_per_second numeric DEFAULT 5)
    LANGUAGE plpgsql AS
$$
DECLARE
    began timestamptz := clock_timestamp();
    passed bigint := 0;
    now_minute bigint;
BEGIN
    WHILE clock_timestamp() < began + duration LOOP
        UPDATE generator.clock SET minute = minute + 1 RETURNING minute INTO now_minute;
        COMMIT;
        CALL generator.place_orders(100);
        CALL generator.advance_orders();
        IF now_minute % 2 = 0 THEN
            CALL generator.change_customers(now_minute);
            CALL generator.change_products(now_minute);
        END IF;
        passed := passed + 1;
        -- Behind the schedule it does not sleep, and does not hurry to catch up either: it is a load, not a clock.
        PERFORM pg_sleep(greatest(0, extract(epoch FROM began - clock_timestamp()) + passed / minutes_per_second));
    END LOOP;
END
$$;
