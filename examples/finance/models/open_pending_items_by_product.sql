-- What has to be in stock for the orders that are pending.
SELECT items.product_id, products.product_name, sum(items.quantity) AS quantity
FROM analytics.orders AS orders
JOIN analytics.order_items AS items ON items.order_id = orders.order_id
JOIN analytics.products AS products ON products.product_id = items.product_id
WHERE orders.status = 'PENDING'
GROUP BY items.product_id, products.product_name
