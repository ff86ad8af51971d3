/*---
title: Top products by quantity
description: The ten products that were ordered most
---*/
SELECT products.product_id, products.product_name, sum(items.quantity) AS quantity
FROM analytics.order_items AS items
JOIN analytics.products AS products ON products.product_id = items.product_id
GROUP BY products.product_id, products.product_name
ORDER BY quantity DESC, products.product_id
LIMIT 10
