/*---
description: The customers with the most orders of a status
params:
  status:
    type: string
    default: pending
    enum: [open, pending, processing, reprocessing, completed, cancelled]
  limit: {type: integer, default: 3, min: 1, max: 100, description: How many customers.}
live: true
---*/
SELECT orders.customer_id, customers.customer_name, count(*) AS orders
FROM analytics.orders AS orders
JOIN analytics.customers AS customers ON customers.customer_id = orders.customer_id
WHERE orders.status = upper($status)
GROUP BY orders.customer_id, customers.customer_name
ORDER BY orders DESC, orders.customer_id
LIMIT $limit
