-- Makes the sheet: what is true of each engagement, and how somebody typed it. Decided by hashes, so that the same calls give the same lines.

CREATE SCHEMA generator;

-- A number that looks like chance.
CREATE FUNCTION generator.pick(line bigint, salt text, below integer) RETURNS integer IMMUTABLE LANGUAGE sql AS $$
    SELECT ('x' || substr(md5(salt || '/' || line), 1, 7))::bit(28)::integer % below
$$;

CREATE FUNCTION generator.one_of(line bigint, salt text, choices text[]) RETURNS text IMMUTABLE LANGUAGE sql AS $$
    SELECT choices[1 + generator.pick(line, salt, cardinality(choices))]
$$;

-- A word with at most one letter wrong, missing or too many.
CREATE FUNCTION generator.misspelt(line bigint, salt text, word text) RETURNS text IMMUTABLE LANGUAGE sql AS $$
    SELECT CASE generator.pick(line, salt, 5)
        WHEN 0 THEN left(word, at - 1) || substr(word, at + 1)
        WHEN 1 THEN left(word, at) || substr(word, at)
        WHEN 2 THEN left(word, at - 1) || 'x' || substr(word, at + 1)
        WHEN 3 THEN initcap(word)
        ELSE word
    END
    FROM (SELECT 2 + generator.pick(line, salt || ' at', length(word) - 1) AS at) AS place
$$;

CREATE FUNCTION generator.typed_number(line bigint, salt text, value integer) RETURNS text IMMUTABLE LANGUAGE sql AS $$
    SELECT CASE generator.pick(line, salt, 4)
        WHEN 0 THEN '$' || value
        WHEN 1 THEN value || 'USD'
        WHEN 2 THEN CASE WHEN value % 1000 = 0 THEN value / 1000 || 'k' ELSE value || '.00' END
        ELSE value::text
    END
$$;

CREATE FUNCTION generator.typed_count(line bigint, value integer) RETURNS text IMMUTABLE LANGUAGE sql AS $$
    SELECT CASE WHEN value % 10 = 0 AND value BETWEEN 10 AND 90 AND generator.pick(line, 'in words', 2) = 0
        THEN ('{ten,twenty,thirty,forty,fifty,sixty,seventy,eighty,ninety}'::text[])[value / 10]
        ELSE value::text
    END
$$;

-- Eight ways to write a day. Of the two with dots and the year behind, the one that begins with the month is used only where no day can be meant.
CREATE FUNCTION generator.typed_date(line bigint, day date) RETURNS text IMMUTABLE LANGUAGE sql AS $$
    SELECT to_char(day, CASE WHEN form = 'MM.DD.YYYY' AND extract(day FROM day) <= 12 THEN 'DD.MM.YYYY' ELSE form END)
    FROM (SELECT generator.one_of(line, 'form',
        '{MM/DD/YYYY,YYYY/MM/DD,YYYY-MM-DD,DD-MM-YYYY,DD.MM.YYYY,YYYY.MM.DD,MM.DD.YYYY,MM/DD/YY}') AS form) AS chosen
$$;

-- What is true of the engagement that a line tells of. Every tenth line corrects an earlier one.
CREATE FUNCTION generator.truth(first bigint, last bigint) RETURNS TABLE (
    line bigint, project_id text, engagement_id text, customer_id text, customer_name text, engagement_date date, revenue integer,
    service text, sub_service text, engagement_type text, employee_count integer, service_type text
) STABLE LANGUAGE sql AS $$
    SELECT n, 'P' || lpad((1 + about % 12)::text, 3, '0'), 'E' || lpad(about::text, 6, '0'), 'C' || lpad((1 + about % 40)::text, 3, '0'),
        generator.one_of(about % 40, 'first', '{Alder,Birch,Cedar,Dogwood,Elm,Fir,Ginkgo,Hazel}') || ' '
            || generator.one_of(about % 40, 'second', '{Industries,Partners,Logistics,Foods,Systems}'),
        date '2025-01-01' + generator.pick(n, 'day', 600), 100 * (5 + generator.pick(n, 'revenue', 800)),
        generator.one_of(n, 'service', '{consulting,development,maintenance,training,auditing}'),
        generator.one_of(n, 'sub', '{strategy,integration,migration,reporting,security}'),
        generator.one_of(n, 'type', '{fixed price,time and materials,retainer}'),
        1 + generator.pick(n, 'employees', 120), generator.one_of(n, 'place', '{onsite,remote,hybrid}')
    FROM (SELECT n, CASE WHEN n % 10 = 0 THEN n - 1 - n / 10 % 8 ELSE n END AS about FROM generate_series(first, last) AS n) AS lines
$$;

-- The same as it stands in the sheet.
CREATE FUNCTION generator.lines(first bigint, last bigint) RETURNS SETOF clients.engagement_metrics STABLE LANGUAGE sql AS $$
    SELECT line, project_id, engagement_id, customer_id,
        CASE generator.pick(line, 'underscore', 2) WHEN 0 THEN replace(customer_name, ' ', '_') ELSE customer_name END,
        generator.typed_date(line, engagement_date), generator.typed_number(line, 'revenue form', revenue),
        generator.typed_number(line, 'usd form', revenue), generator.misspelt(line, 'service spelt', service),
        generator.misspelt(line, 'sub spelt', sub_service), generator.misspelt(line, 'type spelt', engagement_type),
        generator.typed_count(line, employee_count),
        CASE generator.pick(line, 'comment', 3) WHEN 0 THEN 'see "notes", page ' || line WHEN 1 THEN '' END,
        project_id || '/' || left(engagement_id, 3), 'REF-' || engagement_id, generator.typed_number(line, 'client form', revenue * 10),
        generator.misspelt(line, 'place spelt', service_type), sub_service || ' for ' || service
    FROM generator.truth(first, last)
$$;
