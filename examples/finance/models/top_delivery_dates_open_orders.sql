-- The three days with the most open orders.
SELECT delivery_date, count(*) AS open_orders
FROM analytics.orders
WHERE status = 'OPEN'
GROUP BY delivery_date
ORDER BY open_orders DESC, delivery_date
LIMIT 3
