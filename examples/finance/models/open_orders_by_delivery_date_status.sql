-- Orders that wait, by the day they are due.
SELECT delivery_date, status, count(*) AS orders
FROM analytics.orders
WHERE status IN ('OPEN', 'PENDING')
GROUP BY delivery_date, status
