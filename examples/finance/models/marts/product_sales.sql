-- What of each product was in completed orders, at today's price.
select
    products.product_id,
    products.product_name,
    products.unit_price,
    count(distinct items.order_id) as orders,
    coalesce(sum(items.quantity), 0)::bigint as quantity,
    (coalesce(sum(items.quantity), 0) * products.unit_price)::decimal(18, 2) as value
from {{ source('operations', 'products') }} as products
left join (
    select items.product_id, items.order_id, items.quantity
    from {{ source('operations', 'order_items') }} as items
    join {{ source('operations', 'orders') }} as orders on orders.order_id = items.order_id
    where orders.status = 'COMPLETED'
) as items on items.product_id = products.product_id
group by products.product_id, products.product_name, products.unit_price
