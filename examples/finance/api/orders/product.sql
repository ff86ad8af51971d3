/*---
description: What has to be in stock for the orders that are pending
live: true
---*/
SELECT product_id, product_name, quantity
FROM analytics.open_pending_items_by_product
ORDER BY quantity DESC, product_id
