/*---
title: Orders by status
description: How many orders are in each status
---*/
SELECT status, count(*) AS orders
FROM analytics.orders
GROUP BY status
ORDER BY orders DESC, status
