/*---
title: Customers over time
description: How many customers there were at the end of each day
---*/
SELECT day, sum(joined) OVER (ORDER BY day) AS customers
FROM (
    SELECT CAST(created_at AT TIME ZONE 'UTC' AS date) AS day, count(*) AS joined
    FROM analytics.customers
    GROUP BY day
) AS days
ORDER BY day
