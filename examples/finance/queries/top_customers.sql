/*---
title: Top customers by orders
description: The ten customers who ordered most often
---*/
SELECT customers.customer_id, customers.customer_name, count(*) AS orders
FROM analytics.orders AS orders
JOIN analytics.customers AS customers ON customers.customer_id = orders.customer_id
GROUP BY customers.customer_id, customers.customer_name
ORDER BY orders DESC, customers.customer_id
LIMIT 10
