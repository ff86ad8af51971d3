-- The three customers who wait for the most orders.
SELECT orders.customer_id, customers.customer_name, count(*) AS pending_orders
FROM analytics.orders AS orders
JOIN analytics.customers AS customers ON customers.customer_id = orders.customer_id
WHERE orders.status = 'PENDING'
GROUP BY orders.customer_id, customers.customer_name
ORDER BY pending_orders DESC, orders.customer_id
LIMIT 3
