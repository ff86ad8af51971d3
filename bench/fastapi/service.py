"""The peer of the finance endpoints: the service that a team would write, over PostgreSQL's own tables and the same four views.

It is written to be fast where FastAPI is: asyncpg with a pool per worker, prepared statements, no ORM, no response model, conditions that
the source's indexes can serve. DATABASE_URL says where the database is.
"""

import os
from contextlib import asynccontextmanager
from typing import Annotated, Literal

import asyncpg
from fastapi import FastAPI, Query

CONNECTIONS_PER_WORKER = 8

Status = Literal["open", "pending", "processing", "reprocessing", "completed", "cancelled"]
Limit = Annotated[int, Query(ge=1, le=100)]


@asynccontextmanager
async def lifespan(app: FastAPI):
    app.state.pool = await asyncpg.create_pool(
        os.environ["DATABASE_URL"], min_size=CONNECTIONS_PER_WORKER, max_size=CONNECTIONS_PER_WORKER
    )
    yield
    await app.state.pool.close()


app = FastAPI(lifespan=lifespan)


async def rows(sql: str, *parameters):
    return [dict(row) for row in await app.state.pool.fetch(sql, *parameters)]


@app.get("/orders")
async def orders(status: Status | Literal["all"] = "open"):
    if status in ("open", "pending"):
        return await rows(
            "SELECT delivery_date, status, orders FROM operations.open_orders_by_delivery_date_status"
            " WHERE status = $1 ORDER BY delivery_date, status",
            status.upper(),
        )
    condition, parameters = ("", ()) if status == "all" else ("WHERE status = $1", (status.upper(),))
    return await rows(
        f"SELECT delivery_date, status, count(*) AS orders FROM operations.orders {condition}"
        " GROUP BY delivery_date, status ORDER BY delivery_date, status",
        *parameters,
    )


@app.get("/orders/top")
async def top(limit: Limit = 3):
    if limit <= 3:
        return await rows("SELECT * FROM operations.top_delivery_dates_open_orders LIMIT $1", limit)
    return await rows(
        "SELECT delivery_date, count(*) AS open_orders FROM operations.orders WHERE status = 'OPEN'"
        " GROUP BY delivery_date ORDER BY open_orders DESC, delivery_date LIMIT $1",
        limit,
    )


@app.get("/orders/product")
async def product():
    return await rows(
        "SELECT product_id, product_name, quantity FROM operations.open_pending_items_by_product"
        " ORDER BY quantity DESC, product_id"
    )


@app.get("/orders/customers")
async def customers(status: Status = "pending", limit: Limit = 3):
    if status == "pending" and limit <= 3:
        return await rows("SELECT * FROM operations.top_customers_with_pending_orders LIMIT $1", limit)
    return await rows(
        "SELECT orders.customer_id, customers.customer_name, count(*) AS orders FROM operations.orders AS orders"
        " JOIN operations.customers AS customers ON customers.customer_id = orders.customer_id"
        " WHERE orders.status = $1 GROUP BY orders.customer_id, customers.customer_name"
        " ORDER BY orders DESC, orders.customer_id LIMIT $2",
        status.upper(),
        limit,
    )
