/*---
description: The delivery dates with the most open orders
params:
  limit: {type: integer, default: 3, min: 1, max: 100, description: How many dates.}
live: true
---*/
SELECT delivery_date, count(*) AS open_orders
FROM analytics.orders
WHERE status = 'OPEN'
GROUP BY delivery_date
ORDER BY open_orders DESC, delivery_date
LIMIT $limit
