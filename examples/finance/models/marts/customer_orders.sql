-- What each customer has ordered, by what became of it.
select
    customers.customer_id,
    customers.customer_name,
    customers.is_active,
    count(orders.order_id) as orders,
    count(*) filter (where orders.status in ('OPEN', 'PENDING', 'PROCESSING', 'REPROCESSING')) as orders_in_flight,
    count(*) filter (where orders.status = 'COMPLETED') as orders_completed,
    count(*) filter (where orders.status = 'CANCELLED') as orders_cancelled,
    min(orders.order_date) as first_order_date,
    max(orders.order_date) as last_order_date
from {{ source('operations', 'customers') }} as customers
left join {{ source('operations', 'orders') }} as orders on orders.customer_id = customers.customer_id
group by customers.customer_id, customers.customer_name, customers.is_active
