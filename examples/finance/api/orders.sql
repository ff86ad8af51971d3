/*---
path: /orders
description: Orders by delivery date and status
params:
  status:
    type: string
    default: open
    enum: [open, pending, processing, completed, cancelled, all]
    description: Only orders of this status; all for every one.
live: true
---*/
SELECT delivery_date, status, count(*) AS orders
FROM analytics.orders
WHERE $status = 'all' OR status = upper($status)
GROUP BY delivery_date, status
ORDER BY delivery_date, status
